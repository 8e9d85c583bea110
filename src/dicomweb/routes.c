#include "dicomweb/dicomweb_priv.h"

#define STUDY    "/studies/{study}"
#define SERIES   STUDY "/series/{series}"
#define INSTANCE SERIES "/instances/{instance}"

/* Rows of one pattern stand together: the capabilities are printed from here. */
const struct nx_route nx_dicomweb_routes[] = {
	{"OPTIONS", "", NX_PERM_VERIFY, NX_ACTION_VERIFY, dw_capabilities, "Retrieve Capabilities"},
	{"GET", "", NX_PERM_VERIFY, NX_ACTION_VERIFY, dw_capabilities, "Retrieve Capabilities"},
	{"OPTIONS", "/", NX_PERM_VERIFY, NX_ACTION_VERIFY, dw_capabilities,
		"Retrieve Capabilities"},
	{"GET", "/", NX_PERM_VERIFY, NX_ACTION_VERIFY, dw_capabilities, "Retrieve Capabilities"},
	{"GET", "/studies", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find, "Search for studies"},
	{"POST", "/studies", NX_PERM_STORE, NX_ACTION_INSTANCE_STORE, dw_store, "Store instances"},
	{"GET", STUDY, NX_PERM_READ, NX_ACTION_READ, dw_get_instances, "Retrieve a study"},
	{"POST", STUDY, NX_PERM_STORE, NX_ACTION_INSTANCE_STORE, dw_store,
		"Store instances of one study"},
	{"DELETE", STUDY, NX_PERM_DELETE, NX_ACTION_ITEM_DELETE, dw_delete, "Delete a study"},
	{"GET", STUDY "/metadata", NX_PERM_READ, NX_ACTION_READ_METADATA, dw_metadata,
		"Retrieve metadata of a study"},
	{"GET", STUDY "/series", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find,
		"Search for series of a study"},
	{"GET", STUDY "/instances", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find,
		"Search for instances of a study"},
	{"GET", SERIES, NX_PERM_READ, NX_ACTION_READ, dw_get_instances, "Retrieve a series"},
	{"DELETE", SERIES, NX_PERM_DELETE, NX_ACTION_ITEM_DELETE, dw_delete, "Delete a series"},
	{"GET", SERIES "/metadata", NX_PERM_READ, NX_ACTION_READ_METADATA, dw_metadata,
		"Retrieve metadata of a series"},
	{"GET", SERIES "/instances", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find,
		"Search for instances of a series"},
	{"GET", INSTANCE, NX_PERM_READ, NX_ACTION_READ, dw_get_instances, "Retrieve an instance"},
	{"DELETE", INSTANCE, NX_PERM_DELETE, NX_ACTION_ITEM_DELETE, dw_delete,
		"Delete an instance"},
	{"GET", INSTANCE "/metadata", NX_PERM_READ, NX_ACTION_READ_METADATA, dw_metadata,
		"Retrieve metadata of an instance"},
	{"GET", INSTANCE "/frames/{frames}", NX_PERM_READ, NX_ACTION_READ, dw_get_frames,
		"Retrieve frames, {frames} is a list of numbers with commas between"},
	{"GET", INSTANCE "/bulkdata/{range}", NX_PERM_READ, NX_ACTION_READ, dw_get_bulkdata,
		"Retrieve one value, {range} is offset-length as in metadata"},
	{"GET", "/wado", NX_PERM_READ, NX_ACTION_READ, dw_get_uri,
		"Retrieve an instance by query parameters (WADO-URI)"},
	{"GET", "/series", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find, "Search for series"},
	{"GET", "/instances", NX_PERM_QUERY, NX_ACTION_QUERY, dw_find, "Search for instances"},
	{0},
};
