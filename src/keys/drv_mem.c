#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keys_priv.h"

/*
 * Root versions in this process only, found again by the first place's path: what a hardware
 * module looks like from here.  No passphrase.  Tests run over it without Argon2.
 */
struct module {
	struct module *next;
	char *path;
	struct nx_rootset set;
};

struct mem_root {
	struct nx_root base;
	struct module *module;
};

static struct {
	pthread_mutex_t lock; /* guards first; a module belongs to one open store at a time */
	struct module *first;
} modules = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct nx_rootset *set_of(struct nx_root *root)
{
	return &NX_CONTAINER_OF(root, struct mem_root, base)->module->set;
}

/* Caller holds modules.lock. */
static struct module *find(const char *path)
{
	struct module *module = modules.first;

	while (module && strcmp(module->path, path) != 0)
		module = module->next;
	return module;
}

/* Caller holds modules.lock. */
static nx_rc module_new(const char *path, struct nx_err *err)
{
	struct module *module = calloc(1, sizeof(*module));
	uint64_t version;
	nx_rc rc = NX_E_NOMEM;

	if (module)
		module->path = strdup(path);
	if (module && module->path)
		rc = nx_rootset_init(&module->set, err);
	if (rc) {
		if (module)
			free(module->path);
		free(module);
		return nx_err_set(err, rc, "no memory for a root");
	}
	module->next = modules.first;
	modules.first = module;
	return nx_rootset_draw(&module->set, &version, err);
}

static nx_rc mem_open(const struct nx_keys_opts *opts, struct nx_places *places,
	struct nx_root **ret_root, struct nx_err *err)
{
	struct mem_root *self = calloc(1, sizeof(*self));

	(void)places;
	if (!self)
		return nx_err_set(err, NX_E_NOMEM, "no memory for the root");
	self->base.ops = &nx_root_drv_mem;
	(void)pthread_mutex_lock(&modules.lock);
	self->module = find(opts->places[0]);
	(void)pthread_mutex_unlock(&modules.lock);
	if (!self->module) {
		free(self);
		return nx_err_set(err, NX_E_NOENT, "no root in this process");
	}
	*ret_root = &self->base;
	return NX_OK;
}

static nx_rc mem_create(const struct nx_keys_opts *opts, struct nx_places *places,
	struct nx_root **ret_root, struct nx_err *err)
{
	nx_rc rc;

	(void)pthread_mutex_lock(&modules.lock);
	if (find(opts->places[0]))
		rc = nx_err_set(err, NX_E_EXISTS, "a root is there");
	else
		rc = module_new(opts->places[0], err);
	(void)pthread_mutex_unlock(&modules.lock);
	return rc ? rc : mem_open(opts, places, ret_root, err);
}

static void mem_close(struct nx_root *root)
{
	free(NX_CONTAINER_OF(root, struct mem_root, base));
}

static bool mem_has_version(struct nx_root *root, uint64_t version)
{
	return nx_rootset_find(set_of(root), version) != NULL;
}

static nx_rc mem_wrap(struct nx_root *root, uint64_t version, struct nx_slice context,
	const struct nx_key *key, struct nx_root_wrap *ret, struct nx_err *err)
{
	return nx_rootset_wrap(set_of(root), version, context, key, ret, err);
}

static nx_rc mem_unwrap(struct nx_root *root, uint64_t version, struct nx_slice context,
	struct nx_slice wrapped, struct nx_key *ret_key, struct nx_err *err)
{
	return nx_rootset_unwrap(set_of(root), version, context, wrapped, ret_key, err);
}

static nx_rc mem_version_new(struct nx_root *root, uint64_t *ret_version, struct nx_err *err)
{
	return nx_rootset_draw(set_of(root), ret_version, err);
}

static nx_rc mem_version_keep(struct nx_root *root, uint64_t version, struct nx_err *err)
{
	return nx_rootset_keep(set_of(root), version, err);
}

const struct nx_root_ops nx_root_drv_mem = {
	.name = "mem",
	.create = mem_create,
	.open = mem_open,
	.close = mem_close,
	.has_version = mem_has_version,
	.wrap = mem_wrap,
	.unwrap = mem_unwrap,
	.version_new = mem_version_new,
	.version_keep = mem_version_keep,
};
