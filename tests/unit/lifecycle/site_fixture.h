/*
 * site_fixture.h - the archive of archive_fixture.h, with the people who run a site.
 *
 * Layer:   tests.
 */
#ifndef NX_SITE_FIXTURE_H
#define NX_SITE_FIXTURE_H

#include "../archive/archive_fixture.h"

#include "access/access.h"

static const struct nx_principal site_admin = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "admin", .role = "admin", .peer = "127.0.0.1"};
static const struct nx_principal site_modality = {
	.kind = NX_PRINCIPAL_AE, .name = "AE:CT01", .role = "modality", .collection = "clinical"};

static inline nx_rc count_action_entry(
	void *payload, const struct nx_entry *entry, struct nx_err *err)
{
	unsigned *want = payload;

	(void)err;
	want[1] += entry->action == want[0];
	return NX_OK;
}

/* Entries of one action in the whole ledger. */
static inline unsigned site_entries(struct fixture *fx, unsigned action)
{
	struct nx_ledger *ledger = nx_archive_ledger(fx->archive);
	unsigned want[2] = {action, 0};

	assert_ok(nx_ledger_range(
			  ledger, 0, nx_ledger_size(ledger), count_action_entry, want, &fx->err),
		&fx->err);
	return want[1];
}

#endif
