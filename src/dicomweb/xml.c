#include "dicomweb/xml.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "dicom/dicom.h"
#include "dicomweb/dicomweb_priv.h"

enum {
	DEPTH_MAX = NX_LIMIT_DICOM_DEPTH + 2,
	NAME_PARTS = 5
};

/* The text of a private creator, by its group and block. */
struct creator {
	uint32_t key;
	struct nx_slice name; /* JSON, between the quotes */
};

struct model {
	struct nx_slice in;
	struct nx_buf *out;
	unsigned depth;
	bool bad;
	bool no_memory;
	struct creator *creators; /* of the data sets that are open, one behind the other ... */
	size_t n_creators;
	size_t cap_creators;
	size_t mine; /* ... from here on of the innermost */
};

/* ---- text ---- */

static void put_char(struct nx_buf *out, uint32_t c)
{
	static const char special[] = "<>&\"'\r";

	if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
		nx_buf_put_str(out, "\xEF\xBF\xBD");
	else if (c < 0x80 && strchr(special, (int)c))
		nx_buf_printf(out, "&#%u;", (unsigned)c);
	else
		nx_buf_put_u8(out, (uint8_t)c);
}

/* U+FFFE and U+FFFF are no characters of XML (2.2). */
static bool is_noncharacter(struct nx_slice s, size_t at)
{
	return s.n - at >= 3 && s.p[at] == 0xEF && s.p[at + 1] == 0xBF && s.p[at + 2] >= 0xBE;
}

void dw_xml_text(struct nx_buf *out, struct nx_slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (is_noncharacter(text, i)) {
			put_char(out, 0);
			i += 2;
		} else if (text.p[i] < 0x80) {
			put_char(out, text.p[i]);
		} else {
			nx_buf_put_u8(out, text.p[i]);
		}
	}
}

/* What our JSON writer escapes is below U+0080. */
static uint32_t escape_take(struct nx_slice *s)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	uint8_t c = s->p[0];
	const char *at = c ? strchr(from, c) : NULL;
	uint32_t v = 0;

	s->p++;
	s->n--;
	if (at)
		return (uint8_t)to[at - from];
	if (c != 'u' || s->n < 4)
		return c;
	for (int i = 0; i < 4; i++) {
		int d = s->p[i];

		v = v << 4 | (uint32_t)(d <= '9' ? d - '0' : (d | 32) - 'a' + 10);
	}
	s->p += 4;
	s->n -= 4;
	return v < 0x80 ? v : 0;
}

/* The inside of a JSON string. */
static void put_json_text(struct nx_buf *out, struct nx_slice s)
{
	while (s.n) {
		const uint8_t *back = memchr(s.p, '\\', s.n);
		size_t n = back ? (size_t)(back - s.p) : s.n;

		dw_xml_text(out, nx_slice(s.p, n));
		s.p += n;
		s.n -= n;
		if (s.n < 2)
			return;
		s.p++;
		s.n--;
		put_char(out, escape_take(&s));
	}
}

/* ---- tokens ---- */

static bool take(struct model *m, char c)
{
	if (!m->in.n || m->in.p[0] != (uint8_t)c)
		return false;
	m->in.p++;
	m->in.n--;
	return true;
}

static void want(struct model *m, char c)
{
	if (!take(m, c))
		m->bad = true;
}

/* The inside of the string at hand. */
static struct nx_slice string_take(struct model *m)
{
	struct nx_slice s;
	size_t n = 0;

	want(m, '"');
	while (n < m->in.n && m->in.p[n] != '"')
		n += m->in.p[n] == '\\' ? 2 : 1;
	if (n >= m->in.n) {
		m->bad = true;
		return nx_slice(NULL, 0);
	}
	s = nx_slice(m->in.p, n);
	m->in.p += n + 1;
	m->in.n -= n + 1;
	return s;
}

/* A number, or null: up to what ends it. */
static struct nx_slice bare_take(struct model *m)
{
	size_t n = 0;

	while (n < m->in.n && !strchr(",]}", m->in.p[n]))
		n++;
	m->bad = m->bad || !n;
	m->in.p += n;
	m->in.n -= n;
	return nx_slice(m->in.p - n, n);
}

static struct nx_slice key_take(struct model *m)
{
	struct nx_slice key = string_take(m);

	want(m, ':');
	return key;
}

static bool is(struct nx_slice s, const char *word)
{
	return nx_slice_eq(s, nx_slice_str(word));
}

/* ---- the model ---- */

static void dataset(struct model *m);

/* PS3.19 A.1.6: up to five components. */
static void name_group(struct model *m, const char *group)
{
	static const char *const parts[NAME_PARTS] = {
		"FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"};
	struct nx_slice text = string_take(m);

	nx_buf_printf(m->out, "<%s>", group);
	for (size_t i = 0; i < NAME_PARTS && text.n; i++) {
		const uint8_t *end = memchr(text.p, '^', text.n);
		size_t n = end && i + 1 < NAME_PARTS ? (size_t)(end - text.p) : text.n;

		if (n) {
			nx_buf_printf(m->out, "<%s>", parts[i]);
			put_json_text(m->out, nx_slice(text.p, n));
			nx_buf_printf(m->out, "</%s>", parts[i]);
		}
		n += n < text.n;
		text.p += n;
		text.n -= n;
	}
	nx_buf_printf(m->out, "</%s>", group);
}

static void person_name(struct model *m, unsigned number)
{
	static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};

	nx_buf_printf(m->out, "<PersonName number=\"%u\">", number);
	want(m, '{');
	while (!m->bad && !take(m, '}')) {
		struct nx_slice key = key_take(m);
		bool known = false;

		for (size_t i = 0; i < NX_ARRAY_LEN(groups) && !known; i++) {
			known = is(key, groups[i]);
			if (known)
				name_group(m, groups[i]);
		}
		m->bad = m->bad || !known;
		(void)take(m, ',');
	}
	nx_buf_put_str(m->out, "</PersonName>");
}

static void item(struct model *m, unsigned number)
{
	nx_buf_printf(m->out, "<Item number=\"%u\">", number);
	dataset(m);
	nx_buf_put_str(m->out, "</Item>");
}

/* An empty value of several is counted and left out. */
static void value(struct model *m, struct nx_slice vr, unsigned number)
{
	struct nx_slice text;

	if (is(vr, "SQ"))
		return item(m, number);
	if (m->in.n && m->in.p[0] == '{')
		return person_name(m, number);
	text = m->in.n && m->in.p[0] == '"' ? string_take(m) : bare_take(m);
	if (is(text, "null"))
		return;
	nx_buf_printf(m->out, "<Value number=\"%u\">", number);
	put_json_text(m->out, text);
	nx_buf_put_str(m->out, "</Value>");
}

static void values(struct model *m, struct nx_slice vr)
{
	want(m, '[');
	for (unsigned number = 1; !m->bad && !take(m, ']'); number++) {
		value(m, vr, number);
		(void)take(m, ',');
	}
}

/* The rest of an attribute, from its "vr" on. */
static void attribute_rest(struct model *m, struct nx_slice vr)
{
	while (!m->bad && !take(m, '}')) {
		struct nx_slice key;

		want(m, ',');
		key = key_take(m);
		if (is(key, "Value")) {
			values(m, vr);
		} else if (is(key, "BulkDataURI")) {
			nx_buf_put_str(m->out, "<BulkData uri=\"");
			put_json_text(m->out, string_take(m));
			nx_buf_put_str(m->out, "\"/>");
		} else if (is(key, "InlineBinary")) {
			nx_buf_put_str(m->out, "<InlineBinary>");
			put_json_text(m->out, string_take(m));
			nx_buf_put_str(m->out, "</InlineBinary>");
		} else {
			m->bad = true;
		}
	}
}

/* Creators come before what is theirs. */
static const struct creator *creator_find(const struct model *m, nx_tag tag)
{
	uint32_t key = (tag >> 16) << 8 | (tag >> 8 & 0xff);

	for (size_t i = m->mine; i < m->n_creators; i++)
		if (m->creators[i].key == key)
			return &m->creators[i];
	return NULL;
}

static void creator_add(struct model *m, const struct creator *creator)
{
	size_t cap = m->cap_creators ? 2 * m->cap_creators : 16;
	struct creator *more;

	if (m->n_creators == m->cap_creators) {
		more = realloc(m->creators, cap * sizeof(*more));
		if (!more) {
			m->bad = m->no_memory = true;
			return;
		}
		m->creators = more;
		m->cap_creators = cap;
	}
	m->creators[m->n_creators++] = *creator;
}

/* A look ahead at the only value of what may be a private creator (PS3.5 7.8.1). */
static void creator_keep(struct model *m, nx_tag tag)
{
	static const char before[] = ",\"Value\":[\"";
	const size_t skip = sizeof(before) - 2; /* not the quote */
	struct model ahead = *m;
	struct creator creator = {.key = (tag >> 16) << 8 | (tag & 0xff)};

	if (!(tag >> 16 & 1) || (tag & 0xffff) < 0x10 || (tag & 0xffff) > 0xff ||
		ahead.in.n <= skip || memcmp(ahead.in.p, before, skip + 1) != 0)
		return;
	ahead.in.p += skip;
	ahead.in.n -= skip;
	creator.name = string_take(&ahead);
	creator_add(m, &creator);
}

/* PS3.19 A.1.5: private attributes without their block, with their creator. */
static void put_attribute_begin(struct model *m, nx_tag tag, struct nx_slice vr)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);
	const struct creator *creator = NULL;

	if (tag >> 16 & 1 && (tag & 0xffff) >= 0x1000)
		creator = creator_find(m, tag);
	nx_buf_printf(m->out, "<DicomAttribute tag=\"%08X\" vr=\"%.*s\"",
		creator ? tag & 0xffff00ffu : tag, (int)vr.n, (const char *)vr.p);
	if (entry)
		nx_buf_printf(m->out, " keyword=\"%s\"", entry->keyword);
	if (creator) {
		nx_buf_put_str(m->out, " privateCreator=\"");
		put_json_text(m->out, creator->name);
		nx_buf_put_u8(m->out, '"');
	}
	nx_buf_put_u8(m->out, '>');
}

static void attribute(struct model *m, struct nx_slice key)
{
	struct nx_slice vr;
	nx_tag tag = 0;

	want(m, '{');
	m->bad = m->bad || key.n != 8 || !nx_dict_parse_tag((const char *)key.p, key.n, &tag) ||
		!is(key_take(m), "vr");
	vr = string_take(m);
	m->bad = m->bad || vr.n != 2;
	if (m->bad)
		return;
	creator_keep(m, tag);
	put_attribute_begin(m, tag, vr);
	attribute_rest(m, vr);
	nx_buf_put_str(m->out, "</DicomAttribute>");
}

static void dataset(struct model *m)
{
	size_t mine = m->mine;

	m->mine = m->n_creators;
	m->bad = m->bad || m->depth++ == DEPTH_MAX;
	want(m, '{');
	while (!m->bad && !take(m, '}')) {
		attribute(m, key_take(m));
		(void)take(m, ',');
	}
	m->depth--;
	m->n_creators = m->mine;
	m->mine = mine;
}

nx_rc dw_xml_next(struct nx_slice *json, struct nx_buf *out, bool *ret_any, struct nx_err *err)
{
	struct model m = {.in = *json, .out = out};

	while (take(&m, '[') || take(&m, ',') || take(&m, ']'))
		;
	*ret_any = m.in.n > 0;
	if (!m.in.n) {
		*json = m.in;
		return NX_OK;
	}
	nx_buf_put_str(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
		"xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">");
	dataset(&m);
	nx_buf_put_str(out, "</NativeDicomModel>\n");
	free(m.creators);
	if (m.no_memory)
		return nx_err_set(err, NX_E_NOMEM, "no memory for private creators");
	if (m.bad)
		return nx_err_set(err, NX_E_MALFORMED, "not the DICOM JSON Model");
	*json = m.in;
	return nx_buf_check(out, err);
}

/* ---- bodies ---- */

const char *dw_xml_type(struct nx_arena *arena, const char *boundary)
{
	return nx_arena_printf(arena, "%s; boundary=%s", dw_models[DW_MODEL_XML], boundary);
}

/* The line end before a boundary is the boundary's (RFC 2046 5.1.1): each part ends with it. */
nx_rc dw_xml_parts(
	struct nx_slice json, const char *boundary, struct nx_buf *out, struct nx_err *err)
{
	bool any = true;
	nx_rc rc = NX_OK;

	while (!rc && any) {
		size_t at = out->len;

		nx_buf_printf(out, "--%s\r\nContent-Type: " DW_DICOM_XML "\r\n\r\n", boundary);
		rc = dw_xml_next(&json, out, &any, err);
		nx_buf_put_str(out, "\r\n");
		if (!any)
			out->len = at;
	}
	return rc ? rc : nx_buf_check(out, err);
}

void dw_xml_end(const char *boundary, struct nx_buf *out)
{
	nx_buf_printf(out, "--%s--\r\n", boundary);
}
