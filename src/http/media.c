#include <strings.h>

#include "http/http_priv.h"

/* Cursor helpers; all of them are at home at the end of the input. */
static bool at(struct nx_slice s, char c)
{
	return s.n && s.p[0] == (uint8_t)c;
}

static void skip(struct nx_slice *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

static void skip_space(struct nx_slice *s)
{
	while (at(*s, ' ') || at(*s, '\t'))
		skip(s, 1);
}

static struct nx_slice trim(struct nx_slice s)
{
	skip_space(&s);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Everything up to the first of `stops` outside quotes; quotes may be left open. */
static struct nx_slice take_until(struct nx_slice *s, const char *stops)
{
	struct nx_slice got = nx_slice(s->p, 0);
	bool quoted = false;

	while (s->n) {
		if (!quoted && strchr(stops, s->p[0]) && s->p[0])
			break;
		if (quoted && s->p[0] == '\\' && s->n > 1) {
			skip(s, 1);
			got.n++;
		} else if (s->p[0] == '"') {
			quoted = !quoted;
		}
		skip(s, 1);
		got.n++;
	}
	return got;
}

static struct nx_slice unquote(struct nx_slice s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return nx_slice(s.p + 1, s.n - 2);
	return s;
}

bool nx_media_eq(struct nx_slice a, struct nx_slice b)
{
	return a.n == b.n &&
		(a.n == 0 || strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0);
}

/* Some clients quote the whole of "application/dicom+json": taken as if they had not. */
bool nx_media_next(struct nx_slice *list, struct nx_media *ret)
{
	struct nx_slice member, name;
	const uint8_t *slash;

	*ret = (struct nx_media){0};
	if (list->n == 0)
		return false;
	member = trim(take_until(list, ","));
	if (list->n)
		skip(list, 1);
	name = unquote(trim(take_until(&member, ";")));
	ret->params = member;
	slash = name.n ? memchr(name.p, '/', name.n) : NULL;
	if (!slash || slash == name.p || slash == name.p + name.n - 1)
		return true;
	ret->type = nx_slice(name.p, (size_t)(slash - name.p));
	ret->subtype = nx_slice(slash + 1, name.n - ret->type.n - 1);
	return true;
}

bool nx_media_param(const struct nx_media *media, const char *name, struct nx_slice *ret)
{
	struct nx_slice rest = media->params, param, key;

	while (rest.n) {
		skip(&rest, 1); /* ';' */
		param = take_until(&rest, ";");
		key = trim(take_until(&param, "="));
		if (param.n && nx_media_eq(key, nx_slice_str(name))) {
			skip(&param, 1);
			*ret = unquote(trim(param));
			return true;
		}
	}
	return false;
}

/* RFC 9110 12.4.2, in thousandths; what is not a weight counts as 1. */
static int weight(const struct nx_media *range)
{
	struct nx_slice q;
	int v, scale = 100;

	if (!nx_media_param(range, "q", &q) || q.n == 0 || (q.p[0] != '0' && q.p[0] != '1'))
		return 1000;
	v = (q.p[0] - '0') * 1000;
	if (q.n > 1 && q.p[1] != '.')
		return 1000;
	for (size_t i = 2; i < q.n && i < 5 && q.p[i] >= '0' && q.p[i] <= '9'; i++, scale /= 10)
		v += (q.p[i] - '0') * scale;
	return v > 1000 ? 1000 : v;
}

/* A parameter both sides have must agree; "*" agrees with all. */
static bool param_agrees(
	const struct nx_media *range, const struct nx_media *offer, const char *name)
{
	struct nx_slice want, have;

	if (!nx_media_param(range, name, &want) || !nx_media_param(offer, name, &have))
		return true;
	return nx_media_eq(want, nx_slice_str("*")) || nx_media_eq(want, have);
}

static bool has_param(const struct nx_media *media, const char *name)
{
	struct nx_slice value;

	return nx_media_param(media, name, &value);
}

/* How closely `range` names `offer`: 0 not at all, 1 any, 2 any subtype, 3 as plain JSON, 4 it. */
static int closeness(const struct nx_media *range, const struct nx_media *offer)
{
	const struct nx_slice any = nx_slice_str("*");

	if (has_param(offer, "explicit") &&
		(!has_param(range, "transfer-syntax") || nx_slice_eq(range->subtype, any)))
		return 0;
	if (nx_slice_eq(range->type, any) && nx_slice_eq(range->subtype, any))
		return 1;
	if (!nx_media_eq(range->type, offer->type))
		return 0;
	if (nx_slice_eq(range->subtype, any))
		return 2;
	if (nx_media_eq(range->subtype, offer->subtype))
		return param_agrees(range, offer, "type") &&
				param_agrees(range, offer, "transfer-syntax")
			? 4
			: 0;
	/* Viewers ask for application/json where PS3.18 says application/dicom+json. */
	if (nx_media_eq(range->subtype, nx_slice_str("json")) &&
		nx_media_eq(offer->subtype, nx_slice_str("dicom+json")))
		return 3;
	return 0;
}

/* The weight of an offer is that of the range that names it most closely (RFC 9110 12.5.1). */
static int offer_weight(const char *accept, const char *offer_text, int *ret_close)
{
	struct nx_slice list = nx_slice_str(accept), text = nx_slice_str(offer_text);
	struct nx_media range, offer;
	int q = 0, close = 0, c, w;

	(void)nx_media_next(&text, &offer);
	while (nx_media_next(&list, &range)) {
		c = closeness(&range, &offer);
		if (c == 0 || c < close)
			continue;
		w = weight(&range);
		q = c > close || w > q ? w : q;
		close = c;
	}
	*ret_close = close;
	return q;
}

/* RFC 9110 12.5.3: a coding counts as what it, or else "*", was given. */
int nx_coding_weight(const char *accept, const char *coding, bool any_counts)
{
	struct nx_slice list = nx_slice_str(accept), member, name;
	struct nx_media media = {0};
	int any = 0;

	while (list.n) {
		member = trim(take_until(&list, ","));
		if (list.n)
			skip(&list, 1);
		name = trim(take_until(&member, ";"));
		media.params = member;
		if (nx_media_eq(name, nx_slice_str(coding)))
			return weight(&media);
		if (nx_slice_eq(name, nx_slice_str("*")))
			any = weight(&media);
	}
	return any_counts ? any : 0;
}

int nx_http_accept(const char *accept, const char *const *offers, size_t n)
{
	struct nx_slice list = trim(nx_slice_str(accept));
	int best = -1, best_q = 0, best_close = 0, q, close;

	if (list.n == 0)
		return n ? 0 : -1;
	for (size_t i = 0; i < n; i++) {
		q = offer_weight(accept, offers[i], &close);
		if (q > best_q || (q && q == best_q && close > best_close)) {
			best = (int)i;
			best_q = q;
			best_close = close;
		}
	}
	return best;
}

bool nx_http_media_param(const char *content_type, const char *name, char *ret, size_t cap)
{
	struct nx_slice list = nx_slice_str(content_type), value;
	struct nx_media media;

	if (!nx_media_next(&list, &media) || !nx_media_param(&media, name, &value) ||
		value.n >= cap || memchr(value.p, 0, value.n))
		return false;
	memcpy(ret, value.p, value.n);
	ret[value.n] = '\0';
	return true;
}
