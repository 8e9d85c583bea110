/*
 * api.h - the REST interface /api/v1: JSON over the services.
 *
 * Layer:   4 (api).  Uses ingest, retrieve, deid, edit, dataset, lifecycle, report, http, base.
 * Threads: handlers run in their connection's thread.
 * PHI:     bodies and paths pass through.
 */
#ifndef NX_API_API_H
#define NX_API_API_H

#include "http/http.h"

struct nx_admin;
struct nx_archive;
struct nx_deid;
struct nx_edits;
struct nx_forward;
struct nx_ingest;
struct nx_releases;
struct nx_report;
struct nx_retrieve;
struct nx_works;

#define NX_API_PREFIX "/api/v1"

/* The context of a server that mounts the routes begins with this; all borrowed. */
struct nx_api {
	struct nx_ingest *ingest;
	struct nx_retrieve *retrieve;
	struct nx_admin *admin;
	struct nx_report *report;
	struct nx_deid *deid;
	struct nx_edits *edits;
	struct nx_releases *releases;
	struct nx_forward *forward;
	struct nx_archive *archive; /* only passed on to services that have no object */
	const char *site;           /* its name */
	const char *const *files;   /* configuration and certificates, for backups */
	size_t n_files;
	struct nx_works *works;
	/* C-ECHO with a destination: the status that it answers. */
	nx_rc (*echo)(void *payload, const char *ae, uint16_t *ret_status, struct nx_err *err);
	void *echo_payload;
};

/* To add a resource, add rows and a file by its noun; mounted under NX_API_PREFIX. */
extern const struct nx_route nx_api_routes[];

#endif
