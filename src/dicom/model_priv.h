/*
 * model_priv.h - what the readers of both models share: the tree that they build.
 *
 * Layer:   1 (dicom).
 * Threads: a reader belongs to one thread at a time.
 * PHI:     yes.
 */
#ifndef NX_DICOM_MODEL_PRIV_H
#define NX_DICOM_MODEL_PRIV_H

#include "base/buf.h"
#include "base/limits.h"
#include "dicom/dicom_priv.h"
#include "dicom/model.h"

enum {
	MODEL_LEVELS = NX_LIMIT_DICOM_DEPTH + 1,
	MODEL_NAME_GROUPS = 3
};

enum model_kind {
	MODEL_NULL,
	MODEL_NUMBER, /* as it stands in JSON */
	MODEL_TEXT,
	MODEL_NAME, /* component groups with '=' between them */
	MODEL_EMPTY /* a JSON object without members: a name or an item */
};

/* The attribute of a level that is being read. */
struct model_attr {
	nx_tag tag;
	uint16_t vr;
	size_t values_at; /* in nx_model_reader.values */
	size_t n_values;
	size_t n_items;
	bool has_inline;
	bool has_uri;
	struct nx_slice bytes;   /* InlineBinary or URI, in the arena */
	struct nx_slice creator; /* XML: of a private attribute whose block is not said */
};

/* Private attributes whose block their creator decides, when the level ends. */
struct model_owned {
	size_t elem;
	struct nx_slice creator;
};

struct model_level {
	struct nx_level level;
	struct model_attr attr;
	struct model_owned *owned;
	size_t n_owned;
	size_t cap_owned;
};

struct model_ops {
	nx_rc (*feed)(struct nx_model_reader *r, const void *p, size_t n, struct nx_err *err);
	nx_rc (*finish)(struct nx_model_reader *r, struct nx_err *err);
	void (*free)(struct nx_model_reader *r);
};

struct nx_model_reader { /* first member of both readers */
	const struct model_ops *ops;
	nx_model_fn fn;
	void *payload;
	struct nx_model *model; /* that is being read */
	unsigned depth;         /* of the innermost open data set */
	uint64_t n_elems;
	bool not_ascii;
	bool charset_said;
	struct nx_buf values; /* of the open attributes: kind, length, bytes */
	struct nx_buf name[MODEL_NAME_GROUPS];
	struct model_level levels[MODEL_LEVELS];
};

void model_init(
	struct nx_model_reader *r, const struct model_ops *ops, nx_model_fn fn, void *payload);
void model_done(struct nx_model_reader *r);

/* The data set is wrong; the first reason stays.  Reading goes on. */
void model_wrong(struct nx_model_reader *r, const char *what);

/* These fail for memory and limits only. */
NX_NODISCARD nx_rc model_begin(struct nx_model_reader *r, struct nx_err *err);
NX_NODISCARD nx_rc model_end(struct nx_model_reader *r, struct nx_err *err);
/* Eight hexadecimal digits. */
bool model_tag(struct nx_slice text, nx_tag *ret);
void model_attr_begin(struct nx_model_reader *r, nx_tag tag);
void model_vr(struct nx_model_reader *r, struct nx_slice vr);
NX_NODISCARD nx_rc model_creator(
	struct nx_model_reader *r, struct nx_slice creator, struct nx_err *err);
NX_NODISCARD nx_rc model_value(
	struct nx_model_reader *r, enum model_kind kind, struct nx_slice text, struct nx_err *err);
/* {} among values: an empty item, or an empty name; the VR says which, and may come behind it. */
NX_NODISCARD nx_rc model_empty(struct nx_model_reader *r, struct nx_err *err);
void model_name_begin(struct nx_model_reader *r);
void model_name_group(struct nx_model_reader *r, size_t group, struct nx_slice text);
NX_NODISCARD nx_rc model_name_end(struct nx_model_reader *r, struct nx_err *err);
NX_NODISCARD nx_rc model_inline(
	struct nx_model_reader *r, struct nx_slice base64, struct nx_err *err);
NX_NODISCARD nx_rc model_uri(struct nx_model_reader *r, struct nx_slice uri, struct nx_err *err);
NX_NODISCARD nx_rc model_attr_end(struct nx_model_reader *r, struct nx_err *err);
NX_NODISCARD nx_rc model_item_begin(struct nx_model_reader *r, struct nx_err *err);
NX_NODISCARD nx_rc model_item_end(struct nx_model_reader *r, struct nx_err *err);

/* The index of "Alphabetic", "Ideographic", "Phonetic"; MODEL_NAME_GROUPS if it is none. */
size_t model_group_find(struct nx_slice name);

/* ---- values (model_value.c) ---- */

/* The values at `text` (as in nx_model_reader.values) in the encoding of `vr`, appended to `out`.
 * NULL, or what is wrong. */
const char *model_encode(
	uint16_t vr, struct nx_slice values, struct nx_buf *out, bool *ret_not_ascii);

#endif
