/*
 * A response made while it is sent: for each part its head, its bytes, and at the end the closing
 * boundary.  Where all lengths are known beforehand the response has a Content-Length; else it is
 * chunked.  A client sees a broken one as what it is.
 */
#include <stdio.h>
#include <string.h>

#include "base/enc.h"
#include "base/secret.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	HEAD_MAX = 4096,
	READ_MIN = 8 /* what nx_instances_dataset_read() takes at least */
};

struct dw_stream {
	const struct dw_source *source;
	void *payload;
	char *media;   /* of the parts; NULL: there is one body, without heads */
	uint64_t from; /* of every part ... */
	uint64_t take; /* ... this many bytes, or UINT64_MAX: to its end */
	char boundary[DW_BOUNDARY];
	uint64_t length;
	size_t n;
	size_t next;  /* part whose head comes next */
	bool closed;  /* the closing boundary has been made */
	uint64_t off; /* in the current part */
	uint64_t end;
	struct nx_buf head; /* what goes out before the part's bytes */
	size_t head_at;
};

void dw_boundary(char ret[DW_BOUNDARY])
{
	uint8_t random[(DW_BOUNDARY - 1) / 2];

	nx_random(random, sizeof(random));
	nx_hex_format(random, sizeof(random), ret);
}

static void part_head(struct dw_stream *s, size_t i, struct nx_buf *out)
{
	if (!s->media)
		return;
	nx_buf_printf(out, "%s--%s\r\nContent-Type: ", i ? "\r\n" : "", s->boundary);
	s->source->head(s->payload, i, out);
	nx_buf_put_str(out, "\r\n\r\n");
}

static void closing(const struct dw_stream *s, struct nx_buf *out)
{
	if (s->media)
		nx_buf_printf(out, "\r\n--%s--\r\n", s->boundary);
}

static uint64_t part_len(const struct dw_stream *s, size_t i)
{
	return s->take == UINT64_MAX ? s->source->len(s->payload, i) : s->take;
}

/* The next part, or the end. */
static nx_rc step(struct dw_stream *s, struct nx_err *err)
{
	uint64_t len;
	nx_rc rc;

	nx_buf_clear(&s->head);
	s->head_at = 0;
	if (s->next == s->n) {
		s->closed = true;
		closing(s, &s->head);
		return nx_buf_check(&s->head, err);
	}
	rc = s->source->at(s->payload, s->next, err);
	if (rc)
		return rc;
	part_head(s, s->next, &s->head);
	s->off = s->from;
	len = part_len(s, s->next);
	s->end = len == UINT64_MAX ? len : s->off + len;
	if (s->n == 1 && !s->media)
		s->length = len;
	s->next++;
	return nx_buf_check(&s->head, err);
}

static nx_rc length_count(struct dw_stream *s, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < s->n && !rc; i++) {
		nx_buf_clear(&s->head);
		if (part_len(s, i) == UINT64_MAX) {
			s->length = UINT64_MAX;
			break;
		}
		part_head(s, i, &s->head);
		s->length += s->head.len + part_len(s, i);
		rc = nx_buf_check(&s->head, err);
	}
	if (s->length == UINT64_MAX)
		return step(s, err);
	nx_buf_clear(&s->head);
	closing(s, &s->head);
	s->length += s->head.len;
	nx_buf_clear(&s->head);
	return rc;
}

nx_rc dw_stream_of(const struct dw_source *source, void *payload, const struct dw_parts *parts,
	struct dw_stream **ret_stream, struct nx_err *err)
{
	NX_AUTO(dw_stream) *s = calloc(1, sizeof(*s));
	nx_rc rc;

	if (!s) {
		source->free(payload);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	}
	s->source = source;
	s->payload = payload;
	s->n = parts->n;
	s->from = parts->from;
	s->take = parts->take;
	nx_buf_init(&s->head, HEAD_MAX, NX_BUF_WIPE);
	dw_boundary(s->boundary);
	s->media = parts->media ? strdup(parts->media) : NULL;
	if (parts->media && !s->media)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	rc = length_count(s, err);
	if (!rc)
		*ret_stream = NX_STEAL(s);
	return rc;
}

struct dw_stream *dw_stream_free(struct dw_stream *stream)
{
	if (!stream)
		return NULL;
	stream->source->free(stream->payload);
	nx_buf_done(&stream->head);
	free(stream->media);
	free(stream);
	return NULL;
}

uint64_t dw_stream_length(const struct dw_stream *stream)
{
	return stream->length;
}

static nx_rc body_read(struct dw_stream *s, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	nx_rc rc;

	if (n > s->end - s->off)
		n = (size_t)(s->end - s->off);
	rc = s->source->read(s->payload, s->off, p, n, ret_n, err);
	if (!rc && *ret_n == 0 && s->end == UINT64_MAX)
		s->end = s->off;
	else if (!rc && *ret_n == 0)
		rc = nx_err_set(err, NX_E_CORRUPT, "part ends at %llu of %llu bytes",
			(unsigned long long)s->off, (unsigned long long)s->end);
	if (!rc)
		s->off += *ret_n;
	return rc;
}

static bool at_end(const struct dw_stream *s)
{
	return s->closed && s->head_at == s->head.len;
}

nx_rc dw_stream_read(void *payload, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	struct dw_stream *s = payload;
	size_t done = 0, got;
	nx_rc rc = NX_OK;

	while (done < n && !rc && !at_end(s)) {
		got = 0;
		if (s->head_at < s->head.len) {
			got = s->head.len - s->head_at;
			got = got < n - done ? got : n - done;
			memcpy((uint8_t *)p + done, s->head.data + s->head_at, got);
			s->head_at += got;
		} else if (s->off < s->end && done && n - done < READ_MIN) {
			break;
		} else if (s->off < s->end) {
			rc = body_read(s, (uint8_t *)p + done, n - done, &got, err);
		} else {
			rc = step(s, err);
		}
		done += got;
	}
	*ret_n = done;
	return rc;
}

static void stream_done(void *payload, uint64_t sent, bool complete)
{
	(void)sent;
	(void)complete;
	dw_stream_free(payload);
}

nx_rc dw_stream_reply(
	const struct dw_call *call, int status, struct dw_stream *stream, const char *content_type)
{
	char multipart[256];

	if (stream->media) {
		(void)snprintf(multipart, sizeof(multipart),
			"multipart/related; type=\"%s\"; boundary=%s", stream->media,
			stream->boundary);
		content_type = multipart;
	}
	return nx_http_reply_stream(call->req, status, content_type, stream->length, dw_stream_read,
		stream_done, stream);
}

/* ---- instances as parts ---- */

struct files {
	struct nx_instances *instances;
	char *base_url;
	const char *media; /* of every part; literal */
	bool with_syntax;
	const char **syntaxes; /* NULL: all as they are stored */
	bool made;             /* the one at hand is not */
};

static const char *syntax_of(const struct files *f, size_t i)
{
	struct nx_instance_info info;

	nx_instances_info(f->instances, i, &info);
	return f->syntaxes ? f->syntaxes[i] : info.ts_uid;
}

static bool as_stored(const struct files *f, size_t i)
{
	struct nx_instance_info info;

	nx_instances_info(f->instances, i, &info);
	return strcmp(info.ts_uid, syntax_of(f, i)) == 0;
}

static uint64_t files_len(void *payload, size_t i)
{
	const struct files *f = payload;
	struct nx_instance_info info;

	nx_instances_info(f->instances, i, &info);
	return as_stored(f, i) ? info.size : UINT64_MAX;
}

static void files_head(void *payload, size_t i, struct nx_buf *out)
{
	const struct files *f = payload;
	struct nx_instance_info info;

	nx_instances_info(f->instances, i, &info);
	nx_buf_put_str(out, f->media);
	if (f->with_syntax)
		nx_buf_printf(out, "; transfer-syntax=%s", syntax_of(f, i));
	nx_buf_put_str(out, "\r\nContent-Location: ");
	nx_buf_printf(out, "%s/studies/%s/series/%s/instances/%s", f->base_url, info.study,
		info.series, info.sop_instance);
}

static nx_rc files_at(void *payload, size_t i, struct nx_err *err)
{
	struct files *f = payload;
	const struct nx_item *item;
	uint64_t len;
	nx_rc rc = nx_instances_at(f->instances, i, &item, err);

	f->made = !as_stored(f, i);
	return rc || !f->made ? rc : nx_instances_file(f->instances, syntax_of(f, i), &len, err);
}

static nx_rc files_read(
	void *payload, uint64_t off, void *p, size_t n, size_t *ret_n, struct nx_err *err)
{
	const struct files *f = payload;

	return f->made ? nx_instances_dataset_read(f->instances, p, n, ret_n, err)
		       : nx_instances_read(f->instances, off, p, n, ret_n, err);
}

static void files_free(void *payload)
{
	struct files *f = payload;

	nx_instances_free(f->instances);
	free(f->syntaxes);
	free(f->base_url);
	free(f);
}

static const struct dw_source files_source = {
	files_len, files_head, files_at, files_read, files_free};

static bool syntaxes_copy(struct files *f, const char *const *syntaxes)
{
	const size_t n = nx_instances_n(f->instances);

	if (!syntaxes)
		return true;
	f->syntaxes = calloc(n, sizeof(*syntaxes));
	if (f->syntaxes)
		memcpy(f->syntaxes, syntaxes, n * sizeof(*syntaxes));
	return f->syntaxes;
}

nx_rc dw_stream_new(struct nx_instances *instances, const char *base_url,
	const struct dw_form *form, struct dw_stream **ret_stream, struct nx_err *err)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f) {
		nx_instances_free(instances);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	}
	f->instances = instances;
	f->media = form->media;
	f->with_syntax = form->with_syntax;
	f->base_url = strdup(base_url);
	if (!f->base_url || !syntaxes_copy(f, form->syntaxes)) {
		files_free(f);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a response");
	}
	return dw_stream_of(&files_source, f,
		&(struct dw_parts){.n = nx_instances_n(instances),
			.media = form->multipart ? form->media : NULL,
			.from = form->off,
			.take = form->len},
		ret_stream, err);
}
