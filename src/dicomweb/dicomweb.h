/*
 * dicomweb.h - STOW-RS, QIDO-RS, WADO-RS (PS3.18 10.4 to 10.6) and WADO-URI (9) over the services.
 *
 * Layer:   4 (dicomweb).  Uses ingest, retrieve, http, dicom, base.
 * Threads: a mount is constant and shared by all connections.
 * PHI:     yes.
 *
 * One collection is one DICOMweb root.  The table is mounted as often as needed, each time with a
 * struct nx_dicomweb as its context (struct nx_route_table):
 *
 *	{"/dicom-web", nx_dicomweb_routes, &the_default_collection},
 *	{"/dicom-web/{collection}", nx_dicomweb_routes, &the_collection_of_the_path},
 *
 * in this order, so that "/dicom-web/studies" is the default's; a collection named "studies",
 * "series" or "instances" is reached by a mount of its own.  nx_http_principal() is a
 * struct nx_principal.
 */
#ifndef NX_DICOMWEB_DICOMWEB_H
#define NX_DICOMWEB_DICOMWEB_H

#include "http/http.h"

struct nx_ingest;
struct nx_retrieve;

/* Borrowed; must outlive the server. */
struct nx_dicomweb {
	struct nx_ingest *ingest;
	struct nx_retrieve *retrieve;
	const char *collection; /* NULL: the prefix has "{collection}" */
	/* "https://pacs.example.org": what RetrieveURL and BulkDataURI begin with behind a proxy;
	 * NULL: the request's scheme and Host. */
	const char *origin;
};

extern const struct nx_route nx_dicomweb_routes[];

#endif
