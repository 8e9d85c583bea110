/*
 * banned.h - turns unsafe library calls into compile errors.  Force-included in every source
 * (-include).
 *
 * Layer:   0 (base).
 */
#ifndef NX_BASE_BANNED_H
#define NX_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NX_BANNED(name) name##_is_banned_see_CONTRIBUTING

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef atoi
#undef atol
#undef gmtime
#undef localtime
#undef ctime
#undef asctime
#undef mktemp
#undef system
#undef alloca
#define strcpy(...)    NX_BANNED(strcpy)
#define strcat(...)    NX_BANNED(strcat)
#define strncpy(...)   NX_BANNED(strncpy)
#define strncat(...)   NX_BANNED(strncat)
#define sprintf(...)   NX_BANNED(sprintf)
#define vsprintf(...)  NX_BANNED(vsprintf)
#define strtok(...)    NX_BANNED(strtok)
#define atoi(...)      NX_BANNED(atoi)
#define atol(...)      NX_BANNED(atol)
#define gmtime(...)    NX_BANNED(gmtime)
#define localtime(...) NX_BANNED(localtime)
#define ctime(...)     NX_BANNED(ctime)
#define asctime(...)   NX_BANNED(asctime)
#define mktemp(...)    NX_BANNED(mktemp)
#define system(...)    NX_BANNED(system)
#define alloca(...)    NX_BANNED(alloca)

#endif
