/*
 * config.h - the configuration of a site: narthex.yaml, then NARTHEX_<SECTION>_<KEY>.
 *
 * Layer:   5 (server).  Uses base, libcyaml.
 * Threads: read only once loaded.
 * PHI:     none.
 */
#ifndef NX_SERVER_CONFIG_H
#define NX_SERVER_CONFIG_H

#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct nx_buf;
struct nx_json;

/* To add a key, add a row to config.def. */
enum nx_config_key {
#define NX_SECTION(section, text)
#define NX_KEY(id, section, key, type, def, least, most, help) NX_CFG_##id,
#define NX_END(section)
#include "server/config.def"
#undef NX_SECTION
#undef NX_KEY
#undef NX_END
	NX_CFG_COUNT_
};

struct nx_config {
	char *text[NX_CFG_COUNT_];
	int64_t number[NX_CFG_COUNT_]; /* NUMBER, FLAG */
};

/* Every key has its default. */
NX_NODISCARD nx_rc nx_config_init(struct nx_config *config, struct nx_err *err);
void nx_config_done(struct nx_config *config);
NX_DEFINE_AUTO_DONE(nx_config);

/* narthex.yaml of `site`, the environment over it, everything checked.  NX_E_CONFIG names the key.
 */
NX_NODISCARD nx_rc nx_config_load(const char *site, struct nx_config *config, struct nx_err *err);
/* One key, checked. */
NX_NODISCARD nx_rc nx_config_set(
	struct nx_config *config, enum nx_config_key key, const char *text, struct nx_err *err);

static inline const char *nx_config_text(const struct nx_config *config, enum nx_config_key key)
{
	return config->text[key];
}

static inline int64_t nx_config_number(const struct nx_config *config, enum nx_config_key key)
{
	return config->number[key];
}

static inline int64_t nx_config_us(const struct nx_config *config, enum nx_config_key key)
{
	return config->number[key] * 1000000;
}

/* An ADDRESS: false when it is off.  "[::1]:8443" has brackets in the text and none in `address`.
 */
bool nx_config_address(const struct nx_config *config, enum nx_config_key key, char address[64],
	uint16_t *ret_port);

/* The first narthex.yaml of a site: name and environment as given, the rest as comments. */
void nx_config_write(const struct nx_config *config, struct nx_buf *out);
/* All keys with type, default and meaning, as Markdown. */
void nx_config_reference(struct nx_buf *out);
/* All keys with their present values. */
void nx_config_json(const struct nx_config *config, struct nx_json *json);

#endif
