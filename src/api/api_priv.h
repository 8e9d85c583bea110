/*
 * api_priv.h - what the handlers share, and the handlers.
 *
 * Layer:   4 (api), private.
 * Threads: see api.h.
 * PHI:     passes through.
 */
#ifndef NX_API_API_PRIV_H
#define NX_API_API_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"

struct nx_principal;

enum {
	API_REPLY_MAX = 64 * 1024 * 1024,
	API_BLOCK = 256 * 1024
};

struct nx_api *api_of(struct nx_http_req *req);
const struct nx_principal *api_who_of(const struct nx_http_req *req);
/* An empty buffer for a reply, wiped. */
void api_reply_init(struct nx_buf *buf);
/* What is in the buffer, as JSON. */
NX_NODISCARD nx_rc api_reply_json(
	struct nx_http_req *req, int status, const struct nx_buf *buf, struct nx_err *err);
/* The same when `rc` is NX_OK, else `rc`: the last line of most handlers. */
NX_NODISCARD nx_rc api_reply_rc(
	struct nx_http_req *req, nx_rc rc, const struct nx_buf *buf, struct nx_err *err);
NX_NODISCARD nx_rc api_reply_empty(struct nx_http_req *req, int status);

/* The request's body as a JSON object; json_decref() it. */
NX_NODISCARD nx_rc api_body_json(struct nx_http_req *req, json_t **ret, struct nx_err *err);
/* A text member: NULL where it is absent and not `required`; valid while the object lives. */
NX_NODISCARD nx_rc api_member_text(
	const json_t *body, const char *name, bool required, const char **ret, struct nx_err *err);
/* {"folder"}, absolute.  The server writes there as its user: only for those who are that user
 * already, on the site's own socket. */
NX_NODISCARD nx_rc api_folder_take(
	struct nx_http_req *req, json_t **ret_body, const char **ret_folder, struct nx_err *err);
/* A number in the query string; `def` where it is absent. */
NX_NODISCARD nx_rc api_query_number(
	struct nx_http_req *req, const char *name, uint64_t def, uint64_t *ret, struct nx_err *err);
/* A number in the path, above 0; NX_E_NOENT for anything else. */
NX_NODISCARD nx_rc api_param_number(
	const struct nx_http_req *req, const char *name, int64_t *ret, struct nx_err *err);
/* "2026-01-31T08:15:30Z", "2026-01-31" or microseconds; 0 where it is absent. */
NX_NODISCARD nx_rc api_query_time(
	struct nx_http_req *req, const char *name, int64_t *ret_us, struct nx_err *err);
/* A subject as ledger and certificates write it: hexadecimal, not 0. */
NX_NODISCARD nx_rc api_subject_parse(const char *text, uint64_t *ret, struct nx_err *err);

struct nx_retrieve;
struct nx_principal;
/* A page of numbered rows: `after` and `limit` of the query string, as JSON. */
typedef nx_rc (*api_page_fn)(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const char *collection, int64_t after, unsigned limit, struct nx_buf *out,
	struct nx_err *err);
NX_NODISCARD nx_rc api_reply_page(
	struct nx_http_req *req, const char *collection, api_page_fn fn, struct nx_err *err);

/* ---- handlers, by the file they are in ---- */

nx_rc api_status_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_works_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_openapi_get(struct nx_http_req *req, struct nx_err *err);

nx_rc api_collections_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_collections_create(struct nx_http_req *req, struct nx_err *err);

nx_rc api_objects_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_object_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_object_put(struct nx_http_req *req, struct nx_err *err);
nx_rc api_object_delete(struct nx_http_req *req, struct nx_err *err);

nx_rc api_instances_import(struct nx_http_req *req, struct nx_err *err);
nx_rc api_instance_get(struct nx_http_req *req, struct nx_err *err);

nx_rc api_studies_find(struct nx_http_req *req, struct nx_err *err);
nx_rc api_series_find(struct nx_http_req *req, struct nx_err *err);
nx_rc api_instances_find(struct nx_http_req *req, struct nx_err *err);

nx_rc api_ae_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ae_allow(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ae_remove(struct nx_http_req *req, struct nx_err *err);
nx_rc api_destinations_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_destination_set(struct nx_http_req *req, struct nx_err *err);
nx_rc api_destination_remove(struct nx_http_req *req, struct nx_err *err);
nx_rc api_destination_echo(struct nx_http_req *req, struct nx_err *err);

nx_rc api_forward_rules(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_rule_set(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_rule_remove(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_queue(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_send(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_retry(struct nx_http_req *req, struct nx_err *err);
nx_rc api_forward_drop(struct nx_http_req *req, struct nx_err *err);

nx_rc api_worklist_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_worklist_put(struct nx_http_req *req, struct nx_err *err);
nx_rc api_worklist_state(struct nx_http_req *req, struct nx_err *err);
nx_rc api_worklist_remove(struct nx_http_req *req, struct nx_err *err);

nx_rc api_steps_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_step_show(struct nx_http_req *req, struct nx_err *err);
nx_rc api_study_completeness(struct nx_http_req *req, struct nx_err *err);

nx_rc api_tokens_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_tokens_create(struct nx_http_req *req, struct nx_err *err);
nx_rc api_token_revoke(struct nx_http_req *req, struct nx_err *err);

nx_rc api_keys_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_keys_rotate(struct nx_http_req *req, struct nx_err *err);
nx_rc api_keys_passphrase(struct nx_http_req *req, struct nx_err *err);
nx_rc api_keys_place_add(struct nx_http_req *req, struct nx_err *err);
nx_rc api_scrub_run(struct nx_http_req *req, struct nx_err *err);

nx_rc api_quarantine_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_quarantine_show(struct nx_http_req *req, struct nx_err *err);
nx_rc api_quarantine_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_quarantine_retry(struct nx_http_req *req, struct nx_err *err);
nx_rc api_quarantine_discard(struct nx_http_req *req, struct nx_err *err);

nx_rc api_changes_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_conflicts_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_conflict_show(struct nx_http_req *req, struct nx_err *err);
nx_rc api_conflict_settle(struct nx_http_req *req, struct nx_err *err);
nx_rc api_conflict_get(struct nx_http_req *req, struct nx_err *err);

nx_rc api_rejected_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_rejected_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_rejected_create(struct nx_http_req *req, struct nx_err *err);
nx_rc api_rejected_restore(struct nx_http_req *req, struct nx_err *err);
nx_rc api_versions_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_version_get(struct nx_http_req *req, struct nx_err *err);
nx_rc api_edits_run(struct nx_http_req *req, struct nx_err *err);
nx_rc api_deid_run(struct nx_http_req *req, struct nx_err *err);

nx_rc api_releases_list(struct nx_http_req *req, struct nx_err *err);
nx_rc api_releases_create(struct nx_http_req *req, struct nx_err *err);
nx_rc api_releases_verifier(struct nx_http_req *req, struct nx_err *err);
nx_rc api_release_manifest(struct nx_http_req *req, struct nx_err *err);

nx_rc api_lease_open(struct nx_http_req *req, struct nx_err *err);
nx_rc api_lease_read(struct nx_http_req *req, struct nx_err *err);
nx_rc api_lease_end(struct nx_http_req *req, struct nx_err *err);

nx_rc api_erasures_create(struct nx_http_req *req, struct nx_err *err);
nx_rc api_erasures_check(struct nx_http_req *req, struct nx_err *err);
nx_rc api_who_saw(struct nx_http_req *req, struct nx_err *err);
nx_rc api_backups_create(struct nx_http_req *req, struct nx_err *err);

nx_rc api_ledger_checkpoint(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ledger_entries(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ledger_verify(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ledger_prove(struct nx_http_req *req, struct nx_err *err);
nx_rc api_ledger_export(struct nx_http_req *req, struct nx_err *err);

#endif
