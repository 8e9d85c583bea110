/* Lists of numbered rows, page by page: {"<name>":[...],"next":<number or null>}. */
#include "retrieve/instances_priv.h"

enum {
	LIST_MAX = 1000
};

void numbered_begin(struct numbered *l, const char *name, unsigned limit, struct nx_buf *out)
{
	l->limit = limit && limit < LIST_MAX ? limit : LIST_MAX;
	nx_json_init(&l->json, out);
	nx_json_object_begin(&l->json);
	nx_json_key(&l->json, name);
	nx_json_array_begin(&l->json);
}

nx_rc numbered_end(struct numbered *l, nx_rc rc, struct nx_err *err)
{
	nx_json_array_end(&l->json);
	nx_json_key(&l->json, "next");
	if (l->n > l->limit)
		nx_json_int(&l->json, l->last);
	else
		nx_json_null(&l->json);
	nx_json_object_end(&l->json);
	return rc ? rc : nx_buf_check(l->json.out, err);
}
