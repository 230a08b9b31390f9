/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks whether this host is fit for guests: lists the state found in /proc and /sys, its
 * consequence for guests and how to change it. Reads only files, below a root that tests can
 * choose, and struct doctor_host.
 *
 * Owner: the caller, of all structs. Thread: any.
 */
#ifndef EBB_DOCTOR_DOCTOR_H
#define EBB_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/kvm/vm.h"
#include "vmm/sandbox/host.h"

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* guests run, but not as well as they could */
	FINDING_FAIL, /* no guest runs */
};

struct finding {
	enum finding_level level;
	const char *about;  /* the subject, such as "swap" */
	char what[192];	    /* the state that was found */
	const char *means;  /* its consequence for guests */
	const char *change; /* the command that changes it, or NULL */
};

#define FINDINGS_MAX 64

struct findings {
	struct finding finding[FINDINGS_MAX];
	unsigned int count; /* findings beyond the maximum are left out */
};

/* The facts that no file holds, and the root of the files that hold the others. */
struct doctor_host {
	const char *root; /* "" for the real one; /proc and /sys are read below it */
	bool x86;
	unsigned int user;
	struct vm_probe kvm;
	struct sandbox_host sandbox;
	uint64_t limit_memlock, limit_as, limit_data; /* bytes; UINT64_MAX: none */
	int runtime_error;   /* from listing the runtime directory: 0 or -errno */
	unsigned int guests; /* running now */
};

/* Overwrites *findings. */
void doctor_look(struct findings *findings, const struct doctor_host *host);

/* The parts of doctor_look(): each adds its findings. */
void doctor_kvm(struct findings *findings, const struct doctor_host *host);
void doctor_memory(struct findings *findings, const struct doctor_host *host);
void doctor_huge(struct findings *findings, const struct doctor_host *host);
void doctor_isolation(struct findings *findings, const struct doctor_host *host);
void doctor_process(struct findings *findings, const struct doctor_host *host);

/* --- for the parts --------------------------------------------------------------------------- */

#define DOCTOR_FILE_MAX 16384 /* bytes of a file that are read */

/* Adds a finding whose @what is a format. Keeps the pointers @about, @means and @change. */

__attribute__((format(printf, 6, 7))) void finding_add(struct findings *findings,
						       enum finding_level level, const char *about,
						       const char *means, const char *change,
						       const char *what, ...);

/*
 * Return whether the file @path could be read and holds the value.
 *
 * doctor_read() fills @text, of @size bytes, with the file's text: terminated, cut off if need be,
 * and without the last newline. doctor_chosen() fills @word, of 32 bytes, with the word in
 * brackets, as in "always [madvise] never".
 */
bool doctor_read(const struct doctor_host *host, const char *path, char *text, size_t size);
bool doctor_number(const struct doctor_host *host, const char *path, uint64_t *number);
bool doctor_chosen(const struct doctor_host *host, const char *path, char *word);

#define DOCTOR_CGROUPS "/sys/fs/cgroup"

/* Fills @path, of @size bytes, with the folder of ebb's own cgroup (version 2). Returns whether one was found. */
bool doctor_own_cgroup(const struct doctor_host *host, char *path, size_t size);

/* Finds the line "@key: NUMBER" in @text and reads its number. Returns whether there is one. */
bool doctor_line(const char *text, const char *key, int base, uint64_t *number);

#endif
