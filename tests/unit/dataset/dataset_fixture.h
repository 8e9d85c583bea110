/*
 * dataset_fixture.h - two patients taken in, de-identified, and released as "lung-ct".
 *
 * Layer:   tests.
 */
#ifndef NX_DATASET_FIXTURE_H
#define NX_DATASET_FIXTURE_H

#include "unit/deid/deid_fixture.h"

#include "dataset/manifest.h"
#include "dataset/release.h"

static const char *const fx_studies[2] = {"1.2.77.1", "1.2.77.2"};
static const char *const fx_sops[2][2] = {
	{"1.2.77.1.1.1", "1.2.77.1.1.2"}, {"1.2.77.2.1.1", "1.2.77.2.1.2"}};

static inline struct nx_releases *fx_releases(struct fixture *fx)
{
	const struct nx_releases_opts opts = {
		.archive = fx->archive, .collection = "frozen", .origin = "example.org/test"};
	struct nx_releases *r = nx_releases_new(&opts);

	assert_non_null(r);
	return r;
}

/* `ret_studies` (may be NULL): the new Study Instance UIDs. */
static inline void fx_fill(struct fixture *fx, struct nx_deid_result ret[2])
{
	NX_AUTO(nx_ingest) *ingest = nx_ingest_new(fx->archive);
	static struct nx_collection frozen;

	fx_collection(fx, &frozen, "frozen", "test/archive", NX_ZONE_ARCHIVE);
	for (int p = 0; p < 2; p++) {
		for (int i = 0; i < 2; i++) {
			struct synth s = synth_ct(p ? "BETA" : "ALPHA", fx_studies[p],
				p ? "1.2.77.2.1" : "1.2.77.1.1", fx_sops[p][i]);

			s.pixels = i ? 4096 : 700000; /* in the header, and in a bulk pack */
			synth_store(fx, ingest, &s);
		}
		ret[p] = synth_deid(fx, fx_studies[p]);
		assert_u64(ret[p].stored, 2);
	}
}

static inline struct nx_release_result fx_release(struct fixture *fx, struct nx_releases *r)
{
	const struct nx_release_opts opts = {
		.who = &fx_admin, .collection = "curated", .name = "lung-ct"};
	struct nx_release_result result;

	assert_ok(nx_release_make(r, &opts, &result, &fx->err), &fx->err);
	return result;
}

#endif
