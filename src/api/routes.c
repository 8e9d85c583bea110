#include "access/access.h"
#include "api/api_priv.h"
#include "ledger/ledger.h"

const struct nx_route nx_api_routes[] = {
	{"GET", "/status", NX_PERM_MONITOR, NX_ACTION_VERIFY, status_get,
		"What the site holds and does"},
	{0},
};
