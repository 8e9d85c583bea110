#include "dimse/dimse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "dimse/dimse_priv.h"
#include "net/net.h"

enum {
	DEFAULT_ASSOC = 256,
	DEFAULT_ASSOC_PER_AE = 32,
	DEFAULT_ASYNC = 16,
	MAX_PDU_LEAST = 4096,
	SECOND_US = 1000000,
};

struct nx_dimse {
	struct nx_dimse_opts opts;
	pthread_mutex_t lock; /* guards active and per_ae */
	unsigned active;
	struct nx_map *per_ae; /* calling AE title -> associations, as a number */
	_Atomic uint64_t counters[NX_COUNT_COUNT_];
};

static void defaults_fill(struct nx_dimse_opts *o)
{
	o->max_pdu = o->max_pdu ? o->max_pdu : 256 * NX_KIB;
	o->max_instance = o->max_instance ? o->max_instance : NX_LIMIT_DICOM_INSTANCE;
	o->artim_us = o->artim_us ? o->artim_us : 30ll * SECOND_US;
	o->idle_us = o->idle_us ? o->idle_us : 600ll * SECOND_US;
	o->destination_us = o->destination_us ? o->destination_us : 30ll * SECOND_US;
	o->write_us = o->write_us ? o->write_us : 60ll * SECOND_US;
	o->max_assoc = o->max_assoc ? o->max_assoc : DEFAULT_ASSOC;
	o->max_assoc_per_ae = o->max_assoc_per_ae ? o->max_assoc_per_ae : DEFAULT_ASSOC_PER_AE;
	o->max_async = o->max_async ? o->max_async : DEFAULT_ASYNC;
}

static nx_rc opts_check(const struct nx_dimse_opts *o, struct nx_err *err)
{
	if (!o->authenticate || !o->implementation_uid)
		return nx_err_set(err, NX_E_CONFIG,
			"a DIMSE door needs authenticate and an implementation class UID");
	if (o->max_pdu < MAX_PDU_LEAST || o->max_pdu > NX_LIMIT_PDU)
		return nx_err_set(err, NX_E_CONFIG, "max PDU %u is not within %u and %zu",
			o->max_pdu, MAX_PDU_LEAST, NX_LIMIT_PDU);
	if (o->max_async > NX_ASYNC_MAX)
		return nx_err_set(err, NX_E_CONFIG, "operations window %u is over %u", o->max_async,
			NX_ASYNC_MAX);
	return NX_OK;
}

nx_rc nx_dimse_new(
	const struct nx_dimse_opts *opts, struct nx_dimse **ret_dimse, struct nx_err *err)
{
	struct nx_dimse *dimse = calloc(1, sizeof(*dimse));
	nx_rc rc;

	if (!dimse)
		return nx_err_set(err, NX_E_NOMEM, "no memory for DIMSE door");
	(void)pthread_mutex_init(&dimse->lock, NULL);
	dimse->opts = *opts;
	defaults_fill(&dimse->opts);
	rc = opts_check(&dimse->opts, err);
	if (!rc) {
		dimse->per_ae = nx_map_new();
		if (!dimse->per_ae)
			rc = nx_err_set(err, NX_E_NOMEM, "no memory for DIMSE door");
	}
	if (rc) {
		nx_dimse_free(dimse);
		return rc;
	}
	*ret_dimse = dimse;
	return NX_OK;
}

struct nx_dimse *nx_dimse_free(struct nx_dimse *dimse)
{
	if (!dimse)
		return NULL;
	nx_map_free(dimse->per_ae);
	(void)pthread_mutex_destroy(&dimse->lock);
	free(dimse);
	return NULL;
}

/* Caller holds dimse->lock. */
static bool per_ae_set(struct nx_dimse *dimse, const char *calling, uintptr_t n)
{
	if (n > 0)
		return nx_map_put(dimse->per_ae, nx_slice_str(calling),
			(void *)n /* NOLINT(performance-no-int-to-ptr): a number */, NULL);
	(void)nx_map_del(dimse->per_ae, nx_slice_str(calling));
	return true;
}

nx_rc nx_dimse_admit(struct nx_dimse *dimse, const char *calling, struct nx_err *err)
{
	nx_rc rc = NX_OK;
	uintptr_t n;

	(void)pthread_mutex_lock(&dimse->lock);
	n = (uintptr_t)nx_map_get(dimse->per_ae, nx_slice_str(calling));
	if (dimse->active >= dimse->opts.max_assoc)
		rc = nx_err_set(err, NX_E_LIMIT, "%u associations are open already", dimse->active);
	else if (n >= dimse->opts.max_assoc_per_ae)
		rc = nx_err_set(err, NX_E_LIMIT,
			"%zu associations are open already for the calling AE title", (size_t)n);
	else if (!per_ae_set(dimse, calling, n + 1))
		rc = nx_err_set(err, NX_E_NOMEM, "no memory for association");
	else
		dimse->active++;
	(void)pthread_mutex_unlock(&dimse->lock);
	return rc;
}

void nx_dimse_leave(struct nx_dimse *dimse, const char *calling)
{
	uintptr_t n;

	(void)pthread_mutex_lock(&dimse->lock);
	n = (uintptr_t)nx_map_get(dimse->per_ae, nx_slice_str(calling));
	(void)per_ae_set(dimse, calling, n - 1); /* replaces or removes: needs no memory */
	dimse->active--;
	(void)pthread_mutex_unlock(&dimse->lock);
}

const struct nx_dimse_opts *nx_dimse_opts_of(const struct nx_dimse *dimse)
{
	return &dimse->opts;
}

void nx_dimse_count(struct nx_dimse *dimse, enum nx_dimse_counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&dimse->counters[counter], n, memory_order_relaxed);
}

static uint64_t counter_get(struct nx_dimse *dimse, enum nx_dimse_counter counter)
{
	return atomic_load_explicit(&dimse->counters[counter], memory_order_relaxed);
}

void nx_dimse_stats(struct nx_dimse *dimse, struct nx_dimse_stats *ret)
{
	(void)pthread_mutex_lock(&dimse->lock);
	ret->active = dimse->active;
	(void)pthread_mutex_unlock(&dimse->lock);
	ret->accepted = counter_get(dimse, NX_COUNT_ACCEPTED);
	ret->rejected = counter_get(dimse, NX_COUNT_REJECTED);
	ret->released = counter_get(dimse, NX_COUNT_RELEASED);
	ret->aborted = counter_get(dimse, NX_COUNT_ABORTED);
	ret->operations = counter_get(dimse, NX_COUNT_OPERATIONS);
	ret->failures = counter_get(dimse, NX_COUNT_FAILURES);
	ret->bytes = counter_get(dimse, NX_COUNT_BYTES);
}

void nx_dimse_conn(struct nx_conn *conn, void *payload)
{
	struct nx_dimse_io io = nx_dimse_io_conn(conn);

	nx_assoc_run(payload, &io);
}
