/*
 * The tables of docs/CONFORMANCE.md, from those that the program itself works by, so that what is
 * added there is said there.
 */
#include <string.h>

#include "base/buf.h"
#include "catalog/catalog.h"
#include "cli/cli_priv.h"
#include "dicom/dicom.h"
#include "dicomweb/dicomweb.h"
#include "dimse/dimse.h"
#include "http/http.h"
#include "pixel/pixel.h"
#include "retrieve/retrieve.h"

static void begin(struct nx_buf *out, const char *name, const char *head)
{
	nx_buf_printf(out, "<!-- %s -->\n%s\n|", name, head);
	for (const char *c = head + 1; *c; c++)
		if (*c == '|')
			nx_buf_put_str(out, "---|");
	nx_buf_put_u8(out, '\n');
}

static const char *name_or(const char *uid)
{
	const char *name = nx_uid_name(uid);

	return name ? name : "";
}

static const char *yes(bool is)
{
	return is ? "yes" : "";
}

/* ---- DICOM network ---- */

static void services(struct nx_buf *out)
{
	struct nx_dimse_service_info s;

	begin(out, "services", "| service | SCP | SCU | extended negotiation | permission |");
	for (size_t i = 0; nx_dimse_service_at(i, &s); i++)
		nx_buf_printf(out, "| %s | %s | %s | %s | %s |\n", s.name, yes(s.scp), yes(s.scu),
			yes(s.extended), s.permission);
}

/* The services of a SOP class; false: there are none. */
static bool class_row(struct nx_buf *out, const char *uid)
{
	struct nx_dimse_service_info s;
	bool any = false, scu = false;

	for (size_t i = 0; nx_dimse_service_at(i, &s); i++) {
		if (!nx_dimse_service_takes(i, uid, NULL))
			continue;
		if (!any)
			nx_buf_printf(out, "| %s | `%s` | ", name_or(uid), uid);
		nx_buf_printf(out, "%s%s", any ? ", " : "", s.name);
		any = true;
		scu = scu || s.scu;
	}
	if (any)
		nx_buf_printf(out, " | %s |\n", scu ? "SCP, SCU" : "SCP");
	return any;
}

static void classes(struct nx_buf *out, const char *name, bool storage)
{
	const char *uid;

	begin(out, name, "| SOP class | UID | services | role |");
	for (size_t i = 0; (uid = nx_uid_at(i)); i++)
		if (nx_uid_is_storage(uid) == storage)
			(void)class_row(out, uid);
}

/* ---- transfer syntaxes and pixels ---- */

static bool query_takes(const char *ts_uid)
{
	struct nx_dimse_service_info s;

	for (size_t i = 0; nx_dimse_service_at(i, &s); i++)
		if (strcmp(s.name, "C-FIND") == 0 &&
			nx_dimse_service_takes(
				i, NX_UID_STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, ts_uid))
			return true;
	return false;
}

static void syntaxes(struct nx_buf *out)
{
	const struct nx_ts *ts;

	begin(out, "transfer-syntaxes",
		"| transfer syntax | UID | stored and given back | queries | decoded | encoded |");
	for (size_t i = 0; (ts = nx_ts_at(i)); i++) {
		const struct nx_pixel_codec *codec = nx_pixel_codec_find(ts->uid);

		nx_buf_printf(out, "| %s | `%s` | yes | %s | %s | %s |\n", ts->name, ts->uid,
			yes(query_takes(ts->uid)), yes(codec && codec->decode),
			yes(codec && codec->encode));
	}
}

static void codecs(struct nx_buf *out)
{
	begin(out, "codecs", "| transfer syntax | bits | lossy | library |");
	for (const struct nx_pixel_codec *c = nx_pixel_codecs; c->uid; c++)
		if (c->decode)
			nx_buf_printf(out, "| %s | %u | %s | %s |\n", c->name, c->bits_max,
				yes(c->flags & NX_PIXEL_LOSSY), c->library);
}

/* ---- queries ---- */

static const char *const levels[] = {
	[NX_LEVEL_PATIENT] = "patient",
	[NX_LEVEL_STUDY] = "study",
	[NX_LEVEL_SERIES] = "series",
	[NX_LEVEL_INSTANCE] = "instance",
};

/* Every attribute that is one at some level before `end`, with the first of them. */
static void attributes(struct nx_buf *out, const char *name,
	bool (*is_one)(unsigned level, uint32_t tag), unsigned end)
{
	const struct nx_dict_entry *e;

	begin(out, name, "| attribute | tag | level |");
	for (size_t i = 0; (e = nx_dict_at(i)); i++) {
		unsigned level = 0;

		while (level < end && !is_one(level, e->tag))
			level++;
		if (level < end)
			nx_buf_printf(out, "| %s | (%04X,%04X) | %s |\n", e->keyword, e->tag >> 16,
				e->tag & 0xffff, levels[level]);
	}
}

static void keys(struct nx_buf *out)
{
	attributes(out, "keys", nx_retrieve_find_knows, NX_ARRAY_LEN(levels));
	/* Of instances it is every sequence there is. */
	attributes(out, "sequences", nx_retrieve_find_looks, NX_LEVEL_INSTANCE);
}

/* ---- web and configuration ---- */

static void resources(struct nx_buf *out)
{
	begin(out, "resources", "| method | resource | what it does |");
	for (const struct nx_route *r = nx_dicomweb_routes; r->method; r++)
		if (strcmp(r->pattern, "/") != 0)
			nx_buf_printf(out, "| %s | `%s` | %s |\n", r->method,
				r->pattern[0] ? r->pattern : "/", r->summary);
}

static void settings(struct nx_buf *out)
{
	static const struct {
		const char *section;
		const char *name;
		const char *value;
		const char *help;
	} rows[] = {
#define NX_KEY(id, section, name, kind, def, min, max, help) {#section, #name, def, help},
#define NX_SECTION(name, help)
#define NX_END(name)
#include "server/config.def"
#undef NX_SECTION
#undef NX_END
#undef NX_KEY
	};
	static const char *const sections[] = {
		"listen", "dimse", "http", "tls", "studies", "worklist"};

	begin(out, "settings", "| setting | default | what it says |");
	for (size_t k = 0; k < NX_ARRAY_LEN(sections); k++)
		for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++)
			if (strcmp(rows[i].section, sections[k]) == 0)
				nx_buf_printf(out, "| `%s.%s` | %s | %s |\n", rows[i].section,
					rows[i].name, rows[i].value, rows[i].help);
}

void cli_tables(struct nx_buf *out)
{
	services(out);
	classes(out, "classes", false);
	classes(out, "storage", true);
	syntaxes(out);
	codecs(out);
	keys(out);
	resources(out);
	settings(out);
}
