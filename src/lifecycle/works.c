#include "lifecycle/works.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum {
	WORKS_MAX = 16
};

struct work {
	struct nx_progress progress; /* first: what the worker holds */
	const char *name;            /* NULL: free */
	const char *unit;
	int64_t started_us;
};

struct nx_works {
	pthread_mutex_t lock; /* guards all but the counters of a work */
	struct work works[WORKS_MAX];
	bool stopped;
};

struct nx_works *nx_works_new(void)
{
	struct nx_works *works = calloc(1, sizeof(*works));

	if (works)
		(void)pthread_mutex_init(&works->lock, NULL);
	return works;
}

struct nx_works *nx_works_free(struct nx_works *works)
{
	if (!works)
		return NULL;
	(void)pthread_mutex_destroy(&works->lock);
	free(works);
	return NULL;
}

nx_rc nx_works_begin(struct nx_works *works, const char *name, const char *unit,
	struct nx_progress **ret, struct nx_err *err)
{
	struct work *work = NULL;

	(void)pthread_mutex_lock(&works->lock);
	for (size_t i = 0; i < WORKS_MAX && !works->stopped && !work; i++)
		if (!works->works[i].name)
			work = &works->works[i];
	if (work)
		*work = (struct work){.name = name, .unit = unit, .started_us = nx_now_us()};
	(void)pthread_mutex_unlock(&works->lock);
	if (!work)
		return nx_err_set(err, NX_E_BUSY, "no further long work begins now");
	*ret = &work->progress;
	return NX_OK;
}

void nx_works_end(struct nx_works *works, struct nx_progress *work)
{
	(void)pthread_mutex_lock(&works->lock);
	((struct work *)work)->name = NULL;
	(void)pthread_mutex_unlock(&works->lock);
}

void nx_works_stop(struct nx_works *works)
{
	(void)pthread_mutex_lock(&works->lock);
	works->stopped = true;
	for (size_t i = 0; i < WORKS_MAX; i++)
		atomic_store(&works->works[i].progress.stop, true);
	(void)pthread_mutex_unlock(&works->lock);
}

static void work_json(struct work *work, struct nx_json *json)
{
	char when[NX_TIME_TEXT];

	nx_time_format(work->started_us, when);
	nx_json_object_begin(json);
	nx_json_kv_str(json, "name", work->name);
	nx_json_kv_str(json, "unit", work->unit);
	nx_json_kv_str(json, "started", when);
	nx_json_kv_uint(json, "done", atomic_load(&work->progress.done));
	nx_json_kv_uint(json, "total", atomic_load(&work->progress.total));
	nx_json_object_end(json);
}

nx_rc nx_works_json(struct nx_works *works, struct nx_buf *out, struct nx_err *err)
{
	struct nx_json json;

	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_key(&json, "works");
	nx_json_array_begin(&json);
	(void)pthread_mutex_lock(&works->lock);
	for (size_t i = 0; i < WORKS_MAX; i++)
		if (works->works[i].name)
			work_json(&works->works[i], &json);
	(void)pthread_mutex_unlock(&works->lock);
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return nx_buf_check(out, err);
}
