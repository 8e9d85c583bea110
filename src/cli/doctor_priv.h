/*
 * doctor_priv.h - the checks of narthex doctor.
 *
 * Layer:   5 (cli), private.
 * Threads: one.
 * PHI:     none.
 */
#ifndef NX_CLI_DOCTOR_PRIV_H
#define NX_CLI_DOCTOR_PRIV_H

#include "server/config.h"
#include "server/site.h"

enum {
	DOCTOR_SAY = NX_SITE_PATH + 256 /* a path, and what is to be said of it */
};

enum verdict {
	VERDICT_GOOD,
	VERDICT_WARN,
	VERDICT_BAD
};

struct cli_args;

struct patient {
	const char *dir;
	struct nx_config config;
	char pool[NX_SITE_PATH + 8]; /* its folder; "": the pool is none */
	const struct cli_args *args;
};

/* `say` what was found, in a few words. */
typedef enum verdict (*check_fn)(const struct patient *p, char say[DOCTOR_SAY]);

/* doctor_site.c: what is in the site's folders */
enum verdict doctor_permissions(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_owner(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_places(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_catalog(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_certificate(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_host(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_plain(const struct patient *p, char say[DOCTOR_SAY]);

/* doctor_machine.c: what they are on */
enum verdict doctor_pool_fs(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_site_fs(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_direct(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_space(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_synchronised(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_time(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_memlock(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_files(const struct patient *p, char say[DOCTOR_SAY]);
enum verdict doctor_unit(const struct patient *p, char say[DOCTOR_SAY]);

/* doctor_peers.c: who it sends to */
enum verdict doctor_destinations(const struct patient *p, char say[DOCTOR_SAY]);

#endif
