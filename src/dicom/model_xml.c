/*
 * The Native DICOM Model (PS3.19 A.1) through expat.  A document type is refused: nothing here
 * needs entities, and they are what XML is attacked with.
 */
#include <expat.h>
#include <stdlib.h>

#include "base/enc.h"
#include "dicom/model_priv.h"

enum {
	STACK_MAX = 2 * MODEL_LEVELS + 8,
	NAME_PARTS = 5,
	NUMBER_DIGITS = 7
};

enum place {
	AT_TOP,
	IN_MODEL,
	IN_ATTR,
	IN_VALUE,
	IN_INLINE,
	IN_BULK,
	IN_ITEM,
	IN_NAME,
	IN_GROUP,
	IN_PART
};

struct xml_reader {
	struct nx_model_reader r;
	XML_Parser parser;
	nx_rc rc; /* of what expat called */
	struct nx_err err;
	enum place stack[STACK_MAX];
	size_t depth;
	bool done;
	size_t group;
	size_t part;
	struct nx_buf text;
	struct nx_buf parts[NAME_PARTS];
};

static const char *const part_names[NAME_PARTS] = {
	"FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"};

static nx_rc malformed(const char *what, struct nx_err *err)
{
	return nx_err_set(err, NX_E_MALFORMED, "not the Native DICOM Model: %s", what);
}

static const char *attribute(const char **attrs, const char *name)
{
	for (; *attrs; attrs += 2)
		if (strcmp(attrs[0], name) == 0)
			return attrs[1];
	return NULL;
}

/* ---- what begins ---- */

static nx_rc attr_begin(struct xml_reader *x, const char **attrs, struct nx_err *err)
{
	const char *tag = attribute(attrs, "tag"), *vr = attribute(attrs, "vr");
	const char *creator = attribute(attrs, "privateCreator");
	nx_tag t;

	if (!model_tag(nx_slice_str(tag), &t))
		return malformed("a tag that is none", err);
	model_attr_begin(&x->r, t);
	model_vr(&x->r, nx_slice_str(vr));
	return creator ? model_creator(&x->r, nx_slice_str(creator), err) : NX_OK;
}

/* PS3.19 A.1.5: values are numbered from 1; those that are left out are empty. */
static nx_rc numbered(struct xml_reader *x, const char **attrs, const size_t *n_so_far, bool fill,
	struct nx_err *err)
{
	const char *text = attribute(attrs, "number");
	size_t digits = text ? strspn(text, "0123456789") : 0;
	unsigned long number = *n_so_far + 1;
	nx_rc rc = NX_OK;

	if (text && (!digits || digits > NUMBER_DIGITS || text[digits]))
		return malformed("a number that is none", err);
	if (text)
		number = strtoul(text, NULL, 10);
	if (number <= *n_so_far)
		return malformed("numbers that do not ascend", err);
	while (fill && !rc && *n_so_far + 1 < number)
		rc = model_value(&x->r, MODEL_NULL, nx_slice(NULL, 0), err);
	return rc;
}

static struct model_attr *attr_now(struct xml_reader *x)
{
	return &x->r.levels[x->r.depth].attr;
}

static nx_rc of_attr(struct xml_reader *x, const char *name, const char **attrs, enum place *ret,
	struct nx_err *err)
{
	const char *uri;
	nx_rc rc;

	if (strcmp(name, "Value") == 0) {
		*ret = IN_VALUE;
		return numbered(x, attrs, &attr_now(x)->n_values, true, err);
	}
	if (strcmp(name, "PersonName") == 0) {
		*ret = IN_NAME;
		model_name_begin(&x->r);
		return numbered(x, attrs, &attr_now(x)->n_values, true, err);
	}
	if (strcmp(name, "Item") == 0) {
		*ret = IN_ITEM;
		rc = numbered(x, attrs, &attr_now(x)->n_items, false, err);
		return rc ? rc : model_item_begin(&x->r, err);
	}
	if (strcmp(name, "InlineBinary") == 0) {
		*ret = IN_INLINE;
		return NX_OK;
	}
	uri = strcmp(name, "BulkData") == 0 ? attribute(attrs, "uri") : NULL;
	if (!uri)
		return malformed("what is not known in an attribute", err);
	*ret = IN_BULK;
	return model_uri(&x->r, nx_slice_str(uri), err);
}

static nx_rc group_begin(struct xml_reader *x, const char *name, struct nx_err *err)
{
	x->group = model_group_find(nx_slice_str(name));
	for (size_t i = 0; i < NAME_PARTS; i++)
		nx_buf_clear(&x->parts[i]);
	return x->group < MODEL_NAME_GROUPS ? NX_OK : malformed("no part of a name", err);
}

static nx_rc part_begin(struct xml_reader *x, const char *name, struct nx_err *err)
{
	for (x->part = 0; x->part < NAME_PARTS; x->part++)
		if (strcmp(name, part_names[x->part]) == 0)
			return NX_OK;
	return malformed("no part of a name", err);
}

static nx_rc begin(struct xml_reader *x, const char *name, const char **attrs, enum place *ret,
	struct nx_err *err)
{
	switch (x->stack[x->depth]) {
	case AT_TOP:
		*ret = IN_MODEL;
		if (strcmp(name, "NativeDicomModel") != 0)
			return malformed("another root", err);
		return model_begin(&x->r, err);
	case IN_MODEL:
	case IN_ITEM:
		*ret = IN_ATTR;
		if (strcmp(name, "DicomAttribute") != 0)
			return malformed("what is no attribute", err);
		return attr_begin(x, attrs, err);
	case IN_ATTR:
		return of_attr(x, name, attrs, ret, err);
	case IN_NAME:
		*ret = IN_GROUP;
		return group_begin(x, name, err);
	case IN_GROUP:
		*ret = IN_PART;
		return part_begin(x, name, err);
	case IN_VALUE:
	case IN_INLINE:
	case IN_BULK:
	case IN_PART:
		break;
	}
	return malformed("an element where none belongs", err);
}

/* ---- what ends ---- */

static nx_rc group_end(struct xml_reader *x, struct nx_err *err)
{
	size_t last = NAME_PARTS;
	nx_rc rc = NX_OK;

	while (last && !x->parts[last - 1].len)
		last--;
	for (size_t i = 0; i < last && !rc; i++) {
		if (i)
			model_name_group(&x->r, x->group, nx_slice_str("^"));
		rc = nx_buf_check(&x->parts[i], err);
		model_name_group(&x->r, x->group, nx_buf_slice(&x->parts[i]));
	}
	return rc;
}

/* Lines of base64 are for people. */
static nx_rc inline_end(struct xml_reader *x, struct nx_err *err)
{
	size_t n = 0;

	for (size_t i = 0; i < x->text.len; i++)
		if (!strchr(" \t\r\n", x->text.data[i]))
			x->text.data[n++] = x->text.data[i];
	x->text.len = n;
	return model_inline(&x->r, nx_buf_slice(&x->text), err);
}

static nx_rc end(struct xml_reader *x, enum place place, struct nx_err *err)
{
	nx_rc rc = nx_buf_check(&x->text, err);

	if (rc)
		return rc;
	switch (place) {
	case IN_MODEL:
		x->done = true;
		return model_end(&x->r, err);
	case IN_ATTR:
		return model_attr_end(&x->r, err);
	case IN_VALUE:
		return model_value(&x->r, MODEL_TEXT, nx_buf_slice(&x->text), err);
	case IN_INLINE:
		return inline_end(x, err);
	case IN_ITEM:
		return model_item_end(&x->r, err);
	case IN_NAME:
		return model_name_end(&x->r, err);
	case IN_GROUP:
		return group_end(x, err);
	case IN_PART:
		nx_buf_put_slice(&x->parts[x->part], nx_buf_slice(&x->text));
		return NX_OK;
	case AT_TOP:
	case IN_BULK:
		break;
	}
	return NX_OK;
}

/* ---- expat's callbacks ---- */

static void over(struct xml_reader *x, nx_rc rc)
{
	if (!rc || x->rc)
		return;
	x->rc = rc;
	(void)XML_StopParser(x->parser, XML_FALSE);
}

/* Without its prefix: writers name the one namespace in more than one way. */
static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static void XMLCALL on_begin(void *payload, const char *name, const char **attrs)
{
	struct xml_reader *x = payload;
	enum place place = AT_TOP;
	nx_rc rc;

	if (x->rc)
		return;
	if (x->depth + 1 == STACK_MAX) {
		over(x, nx_err_set(&x->err, NX_E_LIMIT, "sequences nested too deep"));
		return;
	}
	nx_buf_clear(&x->text);
	rc = begin(x, local_name(name), attrs, &place, &x->err);
	x->stack[++x->depth] = place;
	over(x, rc);
}

static void XMLCALL on_end(void *payload, const char *name)
{
	struct xml_reader *x = payload;

	(void)name;
	if (x->rc)
		return;
	over(x, end(x, x->stack[x->depth--], &x->err));
	nx_buf_clear(&x->text);
}

static void XMLCALL on_text(void *payload, const char *p, int n)
{
	struct xml_reader *x = payload;

	if (!x->rc)
		nx_buf_put(&x->text, p, (size_t)n);
}

static void XMLCALL on_doctype(
	void *payload, const char *name, const char *sysid, const char *pubid, int has_internal)
{
	struct xml_reader *x = payload;

	(void)name;
	(void)sysid;
	(void)pubid;
	(void)has_internal;
	over(x, malformed("a document type", &x->err));
}

/* ---- interface ---- */

static nx_rc parse(struct xml_reader *x, const char *p, size_t n, bool last, struct nx_err *err)
{
	enum XML_Status status = XML_Parse(x->parser, p, (int)n, last);

	if (x->rc && err)
		*err = x->err;
	if (x->rc)
		return x->rc;
	if (status == XML_STATUS_OK)
		return NX_OK;
	if (XML_GetErrorCode(x->parser) == XML_ERROR_NO_MEMORY)
		return nx_err_set(err, NX_E_NOMEM, "no memory for XML");
	return nx_err_set(err, NX_E_MALFORMED, "XML: %s in line %lu",
		XML_ErrorString(XML_GetErrorCode(x->parser)),
		(unsigned long)XML_GetCurrentLineNumber(x->parser));
}

static nx_rc xml_feed(struct nx_model_reader *r, const void *p, size_t n, struct nx_err *err)
{
	struct xml_reader *x = (struct xml_reader *)r;
	const char *s = p;
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < n && !rc; i += NX_MIB)
		rc = parse(x, s + i, n - i < NX_MIB ? n - i : NX_MIB, false, err);
	return rc;
}

static nx_rc xml_finish(struct nx_model_reader *r, struct nx_err *err)
{
	struct xml_reader *x = (struct xml_reader *)r;
	nx_rc rc = parse(x, "", 0, true, err);

	return rc || x->done ? rc : malformed("no data set", err);
}

static void xml_free(struct nx_model_reader *r)
{
	struct xml_reader *x = (struct xml_reader *)r;

	model_done(r);
	XML_ParserFree(x->parser);
	nx_buf_done(&x->text);
	for (size_t i = 0; i < NAME_PARTS; i++)
		nx_buf_done(&x->parts[i]);
	free(x);
}

static const struct model_ops xml_ops = {xml_feed, xml_finish, xml_free};

nx_rc nx_model_xml_new(
	nx_model_fn fn, void *payload, struct nx_model_reader **ret_reader, struct nx_err *err)
{
	struct xml_reader *x = calloc(1, sizeof(*x));

	if (!x)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	x->parser = XML_ParserCreate("UTF-8");
	if (!x->parser) {
		free(x);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a reader");
	}
	model_init(&x->r, &xml_ops, fn, payload);
	nx_buf_init(&x->text, 2 * (size_t)NX_LIMIT_DICOM_HEADER, NX_BUF_WIPE);
	for (size_t i = 0; i < NAME_PARTS; i++)
		nx_buf_init(&x->parts[i], NX_MIB, NX_BUF_WIPE);
	XML_SetUserData(x->parser, x);
	XML_SetElementHandler(x->parser, on_begin, on_end);
	XML_SetCharacterDataHandler(x->parser, on_text);
	XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
	*ret_reader = &x->r;
	return NX_OK;
}
