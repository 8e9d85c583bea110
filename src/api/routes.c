#include "access/access.h"
#include "api/api_priv.h"
#include "ledger/ledger.h"

#define COLLECTION "/collections/{collection}"

const struct nx_route nx_api_routes[] = {
	{"GET", "/status", NX_PERM_MONITOR, NX_ACTION_VERIFY, api_status_get,
		"What the site holds and does"},
	{"GET", "/openapi.json", NX_PERM_QUERY, NX_ACTION_VERIFY, api_openapi_get,
		"This interface as an OpenAPI document"},

	{"GET", "/collections", NX_PERM_QUERY, NX_ACTION_QUERY, api_collections_list,
		"List the collections"},
	{"POST", "/collections", NX_PERM_ADMIN, NX_ACTION_COLLECTION_CREATE, api_collections_create,
		"Make a collection"},

	{"GET", COLLECTION "/objects", NX_PERM_QUERY, NX_ACTION_OBJECT_LIST, api_objects_list,
		"List objects by prefix, after a key"},
	{"GET", COLLECTION "/objects/{key...}", NX_PERM_READ, NX_ACTION_READ, api_object_get,
		"Read an object, or a range of it"},
	{"PUT", COLLECTION "/objects/{key...}", NX_PERM_STORE, NX_ACTION_OBJECT_PUT, api_object_put,
		"Store an object"},
	{"DELETE", COLLECTION "/objects/{key...}", NX_PERM_DELETE, NX_ACTION_OBJECT_DELETE,
		api_object_delete, "Delete an object"},

	{"POST", COLLECTION "/instances", NX_PERM_STORE, NX_ACTION_INSTANCE_STORE,
		api_instances_import, "Store one DICOM Part 10 file"},
	{"GET", COLLECTION "/studies", NX_PERM_QUERY, NX_ACTION_QUERY, api_studies_find,
		"Find studies by attributes"},
	{"GET", COLLECTION "/series", NX_PERM_QUERY, NX_ACTION_QUERY, api_series_find,
		"Find series by attributes"},
	{"GET", COLLECTION "/instances", NX_PERM_QUERY, NX_ACTION_QUERY, api_instances_find,
		"Find instances by attributes"},
	{"GET", COLLECTION "/studies/{study}/series/{series}/instances/{instance}", NX_PERM_READ,
		NX_ACTION_READ, api_instance_get, "Read an instance as it was received"},

	{"GET", "/ae", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_ae_list,
		"List the DICOM peers that may call"},
	{"POST", "/ae", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_ae_allow,
		"Let a DICOM peer call"},
	{"DELETE", "/ae/{calling}", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_ae_remove,
		"Let a DICOM peer call no longer"},

	{"GET", "/tokens", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_tokens_list,
		"List the tokens"},
	{"POST", "/tokens", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_tokens_create,
		"Make a token; it is shown once"},
	{"DELETE", "/tokens/{token}", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_token_revoke,
		"Revoke a token"},

	{"GET", "/keys", NX_PERM_ADMIN, NX_ACTION_KEY_READ, api_keys_get, "State of the key store"},
	{"POST", "/keys/rotate", NX_PERM_ADMIN, NX_ACTION_KEY_ROTATE, api_keys_rotate,
		"New keys for one domain or all"},
	{"POST", "/keys/passphrase", NX_PERM_ADMIN, NX_ACTION_CONFIG_CHANGE, api_keys_passphrase,
		"A new passphrase for the key store"},
	{"POST", "/scrub", NX_PERM_ADMIN, NX_ACTION_SCRUB, api_scrub_run,
		"Authenticate every stored byte"},

	{"GET", "/ledger/checkpoint", NX_PERM_AUDIT, NX_ACTION_LEDGER_READ, api_ledger_checkpoint,
		"The newest signed checkpoint"},
	{"GET", "/ledger/entries", NX_PERM_AUDIT, NX_ACTION_LEDGER_READ, api_ledger_entries,
		"Search the ledger"},
	{"GET", "/ledger/verify", NX_PERM_AUDIT, NX_ACTION_LEDGER_READ, api_ledger_verify,
		"Recompute the whole ledger"},
	{"GET", "/ledger/proof", NX_PERM_AUDIT, NX_ACTION_LEDGER_READ, api_ledger_prove,
		"The accounting of a subject, study or principal, with proofs"},
	{"POST", "/ledger/export", NX_PERM_AUDIT, NX_ACTION_LEDGER_READ, api_ledger_export,
		"The whole ledger into a folder of the server"},
	{0},
};
