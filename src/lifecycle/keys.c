#include <string.h>

#include "base/progress.h"
#include "lifecycle/admin_priv.h"

static nx_rc domains_json(
	struct nx_keys *keys, uint32_t n, struct nx_json *json, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (uint32_t i = 0; i < n && !rc; i++) {
		uint32_t id = 0, version;
		char name[64];

		rc = nx_keys_domain_at(keys, i, &id, name, &version, err);
		if (rc)
			break;
		nx_json_object_begin(json);
		nx_json_kv_uint(json, "id", id);
		nx_json_kv_str(json, "name", name);
		nx_json_kv_uint(json, "version", version);
		nx_json_object_end(json);
	}
	return rc;
}

nx_rc nx_admin_keys(struct nx_admin *admin, const struct nx_principal *who, struct nx_buf *out,
	struct nx_err *err)
{
	const struct note note = {.action = NX_ACTION_KEY_READ};
	struct nx_keys *keys = nx_archive_keys(admin->archive);
	struct nx_keys_status st;
	struct nx_json json;
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "keys", err);

	if (!rc)
		rc = admin_record(admin, who, &note, err);
	if (rc)
		return rc;
	nx_keys_status(keys, &st);
	nx_json_init(&json, out);
	nx_json_object_begin(&json);
	nx_json_kv_uint(&json, "root_version", st.root_version);
	nx_json_kv_uint(&json, "places", st.n_places);
	nx_json_kv_uint(&json, "subjects", st.n_subjects);
	nx_json_kv_uint(&json, "erased", st.n_erased);
	nx_json_kv_uint(&json, "log_bytes", st.log_bytes);
	nx_json_key(&json, "domains");
	nx_json_array_begin(&json);
	rc = domains_json(keys, st.n_domains, &json, err);
	nx_json_array_end(&json);
	nx_json_object_end(&json);
	return rc ? rc : nx_buf_check(out, err);
}

/* The entry goes first: a rotation without one must not exist. */
static nx_rc domain_rotate(struct nx_admin *admin, const struct nx_principal *who, uint32_t id,
	const char *name, struct nx_err *err)
{
	struct note note = {.action = NX_ACTION_KEY_ROTATE, .keys = {"domain"}, .values = {name}};
	struct nx_err why;
	nx_rc rc = admin_record(admin, who, &note, err);

	if (rc)
		return rc;
	rc = nx_keys_rotate_domain(nx_archive_keys(admin->archive), id, err);
	if (!rc)
		return NX_OK;
	note.outcome = NX_OUTCOME_SERIOUS;
	note.what = "failed";
	(void)!admin_record(admin, who, &note, &why);
	return rc;
}

nx_rc nx_admin_keys_rotate(struct nx_admin *admin, const struct nx_principal *who,
	const char *domain, struct nx_progress *progress, uint32_t *ret_rotated, struct nx_err *err)
{
	struct nx_keys *keys = nx_archive_keys(admin->archive);
	struct nx_keys_status st;
	uint32_t rotated = 0;
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "key.rotate", err);

	if (rc)
		return rc;
	nx_keys_status(keys, &st);
	nx_progress_total(progress, st.n_domains);
	for (uint32_t i = 0; i < st.n_domains && !rc; i++) {
		uint32_t id = 0, version;
		char name[64];

		rc = nx_progress_add(progress, 1, err);
		if (!rc)
			rc = nx_keys_domain_at(keys, i, &id, name, &version, err);
		if (rc || (domain && strcmp(domain, name) != 0))
			continue;
		rc = domain_rotate(admin, who, id, name, err);
		rotated += !rc;
	}
	if (!rc && !rotated)
		rc = nx_err_set(err, NX_E_NOENT, "no such key domain");
	if (!rc)
		*ret_rotated = rotated;
	return rc;
}

nx_rc nx_admin_keys_passphrase(struct nx_admin *admin, const struct nx_principal *who,
	struct nx_slice passphrase, struct nx_err *err)
{
	const struct note note = {.action = NX_ACTION_CONFIG_CHANGE, .what = "key.passphrase"};
	nx_rc rc = admin_guard(admin, who, NX_PERM_ADMIN, "key.passphrase", err);

	if (!rc && passphrase.n < 8)
		rc = nx_err_set(err, NX_E_INVAL, "a passphrase has 8 characters or more");
	if (!rc)
		rc = admin_record(admin, who, &note, err);
	return rc ? rc : nx_keys_set_passphrase(nx_archive_keys(admin->archive), passphrase, err);
}
