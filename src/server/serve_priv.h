/*
 * serve_priv.h - what the files of `narthex serve` share.
 *
 * Layer:   5 (server), private.
 * Threads: written before the listeners start and after they have stopped.
 * PHI:     none.
 */
#ifndef NX_SERVER_SERVE_PRIV_H
#define NX_SERVER_SERVE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "dicomweb/dicomweb.h"
#include "dimse/dimse.h"
#include "http/http.h"
#include "net/net.h"
#include "server/auth.h"
#include "server/site.h"

enum nx_door_id {
	NX_DOOR_DATA,
	NX_DOOR_MANAGEMENT,
	NX_DOOR_LOCAL,
	NX_DOORS
};

struct nx_server;

/* One HTTP listener.  First what the handlers of the mounted tables know as their context. */
#define NX_DICOMWEB_PREFIX     "/dicom-web"
#define NX_DICOMWEB_COLLECTION "clinical" /* what the bare prefix stands for */

struct nx_door {
	union {
		struct nx_api api;
	} mount;
	struct nx_server *server;
	struct nx_http_server *http;
	struct nx_http_server *old; /* before the reload: finishes what it has */
	pthread_t stopper;          /* of whichever; joined when `stopping` */
	bool stopping;
	atomic_bool drained; /* the stopper has nothing left to wait for */
	uint16_t port;
	struct nx_dicomweb dicomweb[2]; /* the default collection's root, and one per collection */
	struct nx_route_table tables[4];
};

/* PS3.7 D.3.3.2: a UUID as a UID (PS3.5 B.2), the same in every release. */
#define NX_DIMSE_IMPLEMENTATION_UID "2.25.32497537818995992390119577171886577652"

enum nx_dimse_id {
	NX_DIMSE_PLAIN,
	NX_DIMSE_TLS,
	NX_DIMSES
};

/* What the listeners of a site show and ask for; the options point into it. */
struct nx_tls_files {
	char cert[NX_SITE_PATH];
	char key[NX_SITE_PATH];
	char ca[NX_SITE_PATH];
	struct nx_tls_opts opts;
};
NX_NODISCARD nx_rc nx_tls_files(const char *dir, const struct nx_config *config,
	struct nx_tls_files *ret, struct nx_err *err);

struct nx_server {
	struct nx_site *site;
	struct nx_completeness *completeness;
	struct nx_worklist *worklist;
	struct nx_forward *forward;
	struct nx_forwarder *forwarder;
	struct nx_auth *auth;
	struct nx_tls *tls;           /* of the DIMSE listener */
	struct nx_tls_files outgoing; /* for destinations with TLS */
	struct nx_dimse *dimse;
	struct nx_listener *listeners[NX_DIMSES];
	struct nx_door doors[NX_DOORS];
	atomic_bool ready;
};

/* Start and stop every listener of one kind; stop may follow a start that failed. */
NX_NODISCARD nx_rc nx_dimse_listen(struct nx_server *server, struct nx_err *err);
void nx_dimse_unlisten(struct nx_server *server);
NX_NODISCARD nx_rc nx_doors_open(struct nx_server *server, struct nx_err *err);
void nx_doors_close(struct nx_server *server);
/* Has the reload before finished what it had? */
bool nx_doors_drained(struct nx_server *server);
/* Once that is so: the certificates anew, on the same sockets: nobody is refused, and what is in
 * flight is finished with the old ones. */
NX_NODISCARD nx_rc nx_doors_reload(struct nx_server *server, struct nx_err *err);

/* outgoing.c: for struct nx_dimse_opts; `archive` is the site's. */
NX_NODISCARD nx_rc nx_outgoing_destination(
	void *archive, const char *ae, struct nx_dimse_destination *ret, struct nx_err *err);
/* C-ECHO with it: the status that it answers.  `server` is a struct nx_server. */
NX_NODISCARD nx_rc nx_outgoing_echo(
	void *server, const char *ae, uint16_t *ret_status, struct nx_err *err);
NX_NODISCARD nx_rc nx_outgoing_tls(const char *dir, const struct nx_config *config,
	struct nx_tls_files *ret, struct nx_err *err);

/* GET /livez, /readyz, /metrics. */
extern const struct nx_route nx_health_routes[];

/* sd_notify(3): "READY=1", "STOPPING=1"; nothing without NOTIFY_SOCKET. */
void nx_notify(const char *state);
/* How often it wants "WATCHDOG=1". */
int64_t nx_notify_interval_us(void);

#endif
