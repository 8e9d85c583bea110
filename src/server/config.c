#include "server/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cyaml/cyaml.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/json.h"
#include "base/slice.h"

enum type {
	TEXT,
	NUMBER,
	FLAG,
	ADDRESS,
	WORD
};

enum {
	PATH_LEN = 4096,
	NAME_LEN = 96
};

/* ---- config.def as a struct for libcyaml, as its schema, and as rows ---- */

#define NX_SECTION(section, text)                              struct raw_##section {
#define NX_KEY(id, section, key, type, def, least, most, help) char *key;
#define NX_END(section) \
	}               \
	;
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END

struct raw {
#define NX_SECTION(section, text) struct raw_##section section;
#define NX_KEY(id, section, key, type, def, least, most, help)
#define NX_END(section)
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END
};

#define NX_SECTION(section, text) static const cyaml_schema_field_t fields_##section[] = {
#define NX_KEY(id, section, key, type, def, least, most, help)                 \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, \
		struct raw_##section, key, 0, PATH_LEN),
#define NX_END(section) \
	CYAML_FIELD_END \
	}               \
	;
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END

static const cyaml_schema_field_t fields[] = {
#define NX_SECTION(section, text) \
	CYAML_FIELD_MAPPING(#section, CYAML_FLAG_OPTIONAL, struct raw, section, fields_##section),
#define NX_KEY(id, section, key, type, def, least, most, help)
#define NX_END(section)
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END
	CYAML_FIELD_END};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, fields)};

struct section {
	const char *name;
	const char *text;
};

static const struct section sections[] = {
#define NX_SECTION(section, text) {#section, text},
#define NX_KEY(id, section, key, type, def, least, most, help)
#define NX_END(section)
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END
};

struct row {
	const char *section;
	const char *key;
	enum type type;
	const char *def;
	int64_t least;
	int64_t most;
	const char *help;
	size_t at; /* of the char * in struct raw */
};

static const struct row rows[NX_CFG_COUNT_] = {
#define NX_SECTION(section, text)
#define NX_KEY(id, section, key, type, def, least, most, help)         \
	[NX_CFG_##id] = {#section, #key, type, def, least, most, help, \
		offsetof(struct raw, section) + offsetof(struct raw_##section, key)},
#define NX_END(section)
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END
};

/* ---- one value ---- */

static nx_rc refuse(const struct row *row, struct nx_err *err, const char *why)
{
	return nx_err_set(err, NX_E_CONFIG, "%s.%s: %s", row->section, row->key, why);
}

static nx_rc number_check(const struct row *row, const char *text, int64_t *ret, struct nx_err *err)
{
	char *end = NULL;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return refuse(row, err, "not a number");
	if (v < row->least || v > row->most)
		return nx_err_set(err, NX_E_CONFIG, "%s.%s: %lld is not in %lld to %lld",
			row->section, row->key, v, (long long)row->least, (long long)row->most);
	*ret = v;
	return NX_OK;
}

static nx_rc flag_check(const struct row *row, const char *text, int64_t *ret, struct nx_err *err)
{
	if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
		*ret = 1;
	else if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0)
		*ret = 0;
	else
		return refuse(row, err, "neither yes nor no");
	return NX_OK;
}

/* One of the words after the last ": " of the help text. */
static nx_rc word_check(const struct row *row, const char *text, struct nx_err *err)
{
	const char *words = strrchr(row->help, ':') + 2;
	size_t n = strlen(text);

	for (const char *w = words; *w && n;) {
		size_t len = strcspn(w, " ");

		if (len == n && memcmp(w, text, n) == 0)
			return NX_OK;
		w += len + strspn(w + len, " ");
	}
	return nx_err_set(err, NX_E_CONFIG, "%s.%s: not one of: %s", row->section, row->key, words);
}

static bool address_parse(const char *text, char address[64], uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	unsigned long port;
	char *end = NULL;

	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (!colon || n == 0 || n >= 64 || !isdigit((unsigned char)colon[1]))
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	*ret_port = (uint16_t)port;
	return true;
}

static bool is_ip(const char *address)
{
	unsigned char ip[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, address, ip) == 1 || inet_pton(AF_INET6, address, ip) == 1;
}

static nx_rc value_check(
	const struct row *row, const char *text, int64_t *ret_number, struct nx_err *err)
{
	char address[64];
	uint16_t port;
	size_t n = strlen(text);

	switch (row->type) {
	case TEXT:
		if ((int64_t)n < row->least || (int64_t)n > row->most)
			return refuse(row, err, "too short or too long");
		return NX_OK;
	case NUMBER:
		return number_check(row, text, ret_number, err);
	case FLAG:
		return flag_check(row, text, ret_number, err);
	case WORD:
		return word_check(row, text, err);
	case ADDRESS:
		if (strcmp(text, "off") != 0 && !address_parse(text, address, &port))
			return refuse(row, err, "not ADDRESS:PORT, nor off");
		if (strcmp(text, "off") != 0 && !is_ip(address))
			return refuse(row, err,
				"not an IP address; 0.0.0.0 is every one of IPv4, [::] of all");
		return NX_OK;
	}
	return NX_E_INTERNAL;
}

nx_rc nx_config_set(
	struct nx_config *config, enum nx_config_key key, const char *text, struct nx_err *err)
{
	int64_t number = 0;
	nx_rc rc = value_check(&rows[key], text, &number, err);
	char *copy;

	if (rc)
		return rc;
	copy = strdup(text);
	if (!copy)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the configuration");
	free(config->text[key]);
	config->text[key] = copy;
	config->number[key] = number;
	return NX_OK;
}

bool nx_config_address(const struct nx_config *config, enum nx_config_key key, char address[64],
	uint16_t *ret_port)
{
	return address_parse(config->text[key], address, ret_port);
}

/* ---- all of it ---- */

nx_rc nx_config_init(struct nx_config *config, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	*config = (struct nx_config){0};
	for (unsigned i = 0; i < NX_CFG_COUNT_ && !rc; i++)
		rc = nx_config_set(config, i, rows[i].def, err);
	return rc;
}

void nx_config_done(struct nx_config *config)
{
	for (unsigned i = 0; i < NX_CFG_COUNT_; i++)
		free(config->text[i]);
	*config = (struct nx_config){0};
}

/* libcyaml says what is wrong only to its log: first the error, then its place, innermost first. */
struct yaml_said {
	char what[NX_ERR_TEXT_MAX / 2];
	int line; /* 0: unknown; that of the last element before what is wrong */
};

NX_PRINTF(3, 0)
static void yaml_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct yaml_said *said = ctx;
	char text[NX_ERR_TEXT_MAX / 2];
	const char *line;

	if (level < CYAML_LOG_ERROR)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	line = strstr(text, "(line: ");
	if (line && !said->line)
		said->line = (int)strtol(line + strlen("(line: "), NULL, 10);
	if (!said->what[0])
		(void)snprintf(said->what, sizeof(said->what), "%s",
			strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
}

static nx_rc raw_take(const struct raw *raw, struct nx_config *config, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (unsigned i = 0; i < NX_CFG_COUNT_ && !rc; i++) {
		char *text;

		memcpy(&text, (const char *)raw + rows[i].at, sizeof(text));
		if (text)
			rc = nx_config_set(config, i, text, err);
	}
	return rc;
}

static nx_rc file_load(const char *path, struct nx_config *config, struct nx_err *err)
{
	struct yaml_said said = {0};
	const cyaml_config_t yaml = {
		.log_fn = yaml_log,
		.log_ctx = &said,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	struct raw *raw = NULL;
	cyaml_err_t bad;
	nx_rc rc;

	bad = cyaml_load_file(path, &yaml, &schema, (cyaml_data_t **)&raw, NULL);
	if (bad && said.line)
		return nx_err_set(
			err, NX_E_CONFIG, "narthex.yaml: near line %d: %s", said.line, said.what);
	if (bad)
		return nx_err_set(err, NX_E_CONFIG, "narthex.yaml: %s: %s", cyaml_strerror(bad),
			said.what[0] ? said.what : "cannot be read");
	rc = raw ? raw_take(raw, config, err) : NX_OK;
	(void)cyaml_free(&yaml, &schema, raw, 0);
	return rc ? nx_err_prefix(err, rc, "narthex.yaml") : NX_OK;
}

/* NARTHEX_SECTION_ or NARTHEX_SECTION_KEY. */
static size_t environment_name(const char *section, const char *key, char ret[NAME_LEN])
{
	int n = snprintf(ret, NAME_LEN, "NARTHEX_%s_%s", section, key);

	for (char *c = ret; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return (size_t)n;
}

/* Does `variable`, "NAME=value", look like a key of ours without being one?  A misspelt name would
 * be ignored in silence. */
static bool is_misspelt(const char *variable)
{
	size_t n = strcspn(variable, "=");
	bool of_section = false;
	char name[NAME_LEN];

	for (unsigned i = 0; i < NX_CFG_COUNT_; i++) {
		if (environment_name(rows[i].section, rows[i].key, name) == n &&
			memcmp(variable, name, n) == 0)
			return false;
		(void)environment_name(rows[i].section, "", name);
		of_section = of_section || strncmp(variable, name, strlen(name)) == 0;
	}
	return of_section;
}

static nx_rc environment_take(struct nx_config *config, struct nx_err *err)
{
	char name[NAME_LEN];
	const char *text;
	nx_rc rc = NX_OK;

	for (char **v = environ; *v; v++)
		if (is_misspelt(*v))
			return nx_err_set(err, NX_E_CONFIG, "environment: %.*s is no key",
				(int)strcspn(*v, "="), *v);
	for (unsigned i = 0; i < NX_CFG_COUNT_ && !rc; i++) {
		(void)environment_name(rows[i].section, rows[i].key, name);
		text = nx_env(name);
		if (text)
			rc = nx_config_set(config, i, text, err);
	}
	return rc ? nx_err_prefix(err, rc, "environment") : NX_OK;
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* What no single key can be wrong about. */
static nx_rc together_check(const struct nx_config *config, struct nx_err *err)
{
	char address[64];
	uint16_t port;

	if (nx_config_address(config, NX_CFG_LISTEN_DIMSE, address, &port) &&
		!is_loopback(address) && !config->number[NX_CFG_DIMSE_ALLOW_PLAIN])
		return nx_err_set(err, NX_E_CONFIG,
			"listen.dimse: without TLS on an address other than loopback; say "
			"dimse.allow_plain if that is meant");
	if (config->number[NX_CFG_DIMSE_CLIENT_CERT] && !config->text[NX_CFG_TLS_CLIENT_CA][0])
		return nx_err_set(err, NX_E_CONFIG,
			"dimse.require_client_certificate: tls.client_ca is empty");
	return NX_OK;
}

nx_rc nx_config_load(const char *site, struct nx_config *config, struct nx_err *err)
{
	char path[PATH_LEN];
	struct stat st;
	nx_rc rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/narthex.yaml", site) >= sizeof(path))
		return nx_err_set(err, NX_E_INVAL, "path of the site is too long");
	if (stat(path, &st) < 0)
		return nx_err_errno(
			err, errno == ENOENT ? "no site there: narthex.yaml" : "narthex.yaml");
	/* libcyaml takes an empty document for an error; to us it is a site with defaults. */
	rc = st.st_size ? file_load(path, config, err) : NX_OK;
	if (!rc)
		rc = environment_take(config, err);
	return rc ? rc : together_check(config, err);
}

/* ---- printed ---- */

void nx_config_write(const struct nx_config *config, struct nx_buf *out)
{
	const char *section = "";

	nx_buf_put_str(
		out, "# Configuration of a narthex site.  Every key: narthex config --reference\n");
	for (unsigned i = 0; i < NX_CFG_COUNT_; i++) {
		const struct row *r = &rows[i];

		if (strcmp(section, r->section) != 0)
			nx_buf_printf(out, "\n%s:\n", r->section);
		section = r->section;
		nx_buf_printf(out, "  # %s\n  %s: \"%s\"\n", r->help, r->key, config->text[i]);
	}
}

void nx_config_reference(struct nx_buf *out)
{
	static const char *const types[] = {"text", "number", "yes/no", "address:port", "word"};

	nx_buf_put_str(out, "# Configuration\n\n");
	for (const struct section *s = sections; s < sections + NX_ARRAY_LEN(sections); s++) {
		nx_buf_printf(out,
			"## %s\n\n%s.\n\n| key | type | default | meaning |\n|---|---|---|---|\n",
			s->name, s->text);
		for (const struct row *r = rows; r < rows + NX_CFG_COUNT_; r++)
			if (strcmp(r->section, s->name) == 0)
				nx_buf_printf(out, "| `%s` | %s | `%s` | %s |\n", r->key,
					types[r->type], r->def, r->help);
		nx_buf_put_str(out, "\n");
	}
	nx_buf_put_str(
		out, "An environment variable NARTHEX_<SECTION>_<KEY> goes before the file.\n");
}

void nx_config_json(const struct nx_config *config, struct nx_json *json)
{
	char name[NAME_LEN];

	nx_json_object_begin(json);
	for (unsigned i = 0; i < NX_CFG_COUNT_; i++) {
		(void)snprintf(name, sizeof(name), "%s.%s", rows[i].section, rows[i].key);
		nx_json_kv_str(json, name, config->text[i]);
	}
	nx_json_object_end(json);
}
