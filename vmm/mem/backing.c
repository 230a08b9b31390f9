// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/lib/log.h"

/* Linux 6.3; older headers lack it, older kernels refuse it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define MIB(bytes) ((unsigned long long)(bytes) >> 20)
/* Guests report free memory in blocks of this size or more, whatever their page size. */
#define REPORTED_BLOCK (2ULL << 20)
/* The most memory in one report: Linux's 32 blocks of 4 MiB each. */
#define REPORTED_MOST (128ULL << 20)

/* --- the host's settings and limits ---------------------------------------------------------- */

/* With vm.overcommit_memory 2 the host accounts for every writable page, MAP_NORESERVE or not. */
static bool overcommit_forbidden(void)
{
	char mode = 0;
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool forbidden = read(fd, &mode, 1) == 1 && mode == '2';
	close(fd);
	return forbidden;
}

static bool limited(int resource, uint64_t bytes)
{
	struct rlimit limit;
	return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	       limit.rlim_cur < bytes;
}

/* Returns the number in the file @path, or 0. */
static unsigned long long number_in(const char *path)
{
	char text[32];
	unsigned long long number = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length < 0 ? 0 : length] = '\0';
	return sscanf(text, "%llu", &number) == 1 ? number : 0;
}

/* Returns the host's figure @name for huge pages of @page_size, or 0. */
static unsigned long long hugepages(size_t page_size, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/%s", page_size >> 10,
		 name);
	return number_in(path);
}

/*
 * Refuse huge pages that are larger than a reported block (512 MiB on a host with pages of 64 KiB):
 * after nearly all of such a page was discarded, the host soon fills the whole page again.
 */
int backing_advice(void)
{
	return number_in("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") > REPORTED_BLOCK
		       ? MADV_NOHUGEPAGE
		       : MADV_HUGEPAGE;
}

/* --- opening --------------------------------------------------------------------------------- */

static int memfd_open(unsigned int flags)
{
	/* Ask for memory that cannot be executed: a host can require it (vm.memfd_noexec). */
	int fd = memfd_create("ebb-guest-ram", MFD_CLOEXEC | MFD_NOEXEC_SEAL | flags);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("ebb-guest-ram", MFD_CLOEXEC | flags);
	if (fd < 0) {
		int error = errno;
		log_error("cannot create a memfd for guest RAM: %s%s", strerror(error),
			  flags & MFD_HUGETLB ? "; check that /proc/filesystems lists hugetlbfs"
					      : "");
		return -error;
	}
	return fd;
}

/* Opens a file without a name in the hugetlbfs mounted at @path. */
static int hugetlbfs_open(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0) {
		int error = errno;
		log_error(
			"cannot use %s for guest RAM: %s; name a directory in a mounted hugetlbfs",
			path, strerror(error));
		return -error;
	}
	if (fs.f_type != HUGETLBFS_MAGIC) {
		log_error("%s is not in a hugetlbfs; mount one there ('mount -t hugetlbfs none "
			  "DIR'), or leave the path out",
			  path);
		return -EINVAL;
	}
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		int error = errno;
		log_error("cannot create a file in %s for guest RAM: %s; name a directory that "
			  "ebb's user may write to",
			  path, strerror(error));
		return -error;
	}
	return fd;
}

/* For hugetlbfs only: spans_valid() has checked the smaller pages of other backings. */
static int whole_pages(const struct ram *ram, const struct gpa_range *span, unsigned int spans)
{
	uint64_t total = 0, mask = ram->page_size - 1;
	bool whole = true;

	for (unsigned int i = 0; i < spans; i++) {
		total += span[i].len;
		whole = whole && !(span[i].gpa & mask) && !(span[i].len & mask);
	}
	if (whole)
		return 0;
	if (total & mask)
		log_error("guest RAM must be whole huge pages: -m must be a multiple of %zuM with "
			  "this hugetlbfs",
			  ram->page_size >> 20);
	else
		log_error("guest RAM cannot be split into huge pages of %zuM; use smaller ones",
			  ram->page_size >> 20);
	return -EINVAL;
}

/* Sets ram->page_size to that of the file's pages, and makes the file large enough for @span. */
static int file_setup(struct ram *ram, const struct gpa_range *span, unsigned int spans)
{
	uint64_t end = span[spans - 1].gpa + span[spans - 1].len;
	struct statfs fs;

	if (ram->backing == RAM_HUGETLBFS) {
		if (fstatfs(ram->file, &fs) == 0)
			ram->page_size = fs.f_bsize;
		if (whole_pages(ram, span, spans) < 0)
			return -EINVAL;
	}
	/* Check first: exceeding this limit raises SIGXFSZ. */
	if (limited(RLIMIT_FSIZE, end)) {
		log_error("the limit RLIMIT_FSIZE is too low for guest RAM in a file; raise it "
			  "with 'ulimit -f'");
		return -EFBIG;
	}
	if (ftruncate(ram->file, end) < 0) {
		int error = errno;
		log_error("cannot set the size of the file for guest RAM: %s", strerror(error));
		return -error;
	}
	return 0;
}

int backing_open(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
		 unsigned int spans)
{
	if (ram->backing == RAM_ANON)
		return 0;
	if (ram->backing == RAM_MEMFD && overcommit_forbidden() && !config->prealloc) {
		log_error("the host does not overcommit (vm.overcommit_memory is 2), but reserves "
			  "nothing for a memfd: use --mem-prealloc");
		return -ENOMEM;
	}
	if (ram->backing == RAM_HUGETLBFS && config->path)
		ram->file = hugetlbfs_open(config->path);
	else
		ram->file = memfd_open(ram->backing == RAM_HUGETLBFS ? MFD_HUGETLB : 0);
	if (ram->file < 0)
		return ram->file;
	return file_setup(ram, span, spans);
}

/* --- mapping --------------------------------------------------------------------------------- */

static int map(void *hva, uint64_t len, int flags, int fd, uint64_t offset)
{
	if (mmap(hva, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, (off_t)offset) ==
	    MAP_FAILED)
		return -errno;
	/* Ignore errors: a kernel that does not know an advice still runs the guest. */
	madvise(hva, len, MADV_DONTDUMP);
	/* A child process would keep pages that the guest gives back. */
	madvise(hva, len, MADV_DONTFORK);
	return 0;
}

int backing_map_anonymous(void *hva, uint64_t len, int advice)
{
	int error = map(hva, len, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!error)
		madvise(hva, len, advice);
	return error;
}

int backing_map_private(void *hva, uint64_t len, int fd, uint64_t offset)
{
	return map(hva, len, MAP_PRIVATE | MAP_NORESERVE, fd, offset);
}

int backing_map(const struct ram *ram, const struct gpa_range *span, void *hva)
{
	if (ram->backing == RAM_ANON)
		return backing_map_anonymous(hva, span->len, backing_advice());
	/*
	 * Without MAP_NORESERVE this reserves huge pages: too few of them is an error at the start
	 * instead of a SIGBUS later.
	 */
	int error = map(hva, span->len, MAP_SHARED, ram->file, span->gpa);
	if (!error && ram->backing != RAM_HUGETLBFS)
		madvise(hva, span->len, backing_advice());
	return error;
}

/* Returns true if the pool has or may get pages beyond those promised to guests. */
static bool hugepages_to_spare(size_t page_size)
{
	return hugepages(page_size, "free_hugepages") > hugepages(page_size, "resv_hugepages") ||
	       hugepages(page_size, "nr_overcommit_hugepages") >
		       hugepages(page_size, "surplus_hugepages");
}

const char *backing_why_keep(const struct ram *ram)
{
	if (ram->backing != RAM_HUGETLBFS)
		return NULL;
	if (ram->page_size > REPORTED_MOST)
		return "the host's huge pages are larger than what guests report";
	if (!hugepages_to_spare(ram->page_size))
		return "the host has no huge page to spare, and others could take those that the guest "
		       "gives back; raise vm.nr_hugepages, or ask for it with --free-page-reporting";
	return NULL;
}

static void explain(uint64_t size, const char *why)
{
	log_error("cannot map %llu MiB of guest RAM: %s", MIB(size), why);
}

void backing_explain_space(uint64_t total, int error)
{
	if (error != ENOMEM && error != EAGAIN)
		explain(total, strerror(error));
	else if (limited(RLIMIT_AS, RLIM_INFINITY))
		explain(total, "the limit RLIMIT_AS is too low; raise it with 'ulimit -v'");
	else
		explain(total,
			"ebb's address space is too small for it; give the guest less with -m");
}

static void explain_hugepages(const struct ram *ram, uint64_t total, uint64_t mapped)
{
	unsigned long long needed = total / ram->page_size;
	unsigned long long pages = hugepages(ram->page_size, "free_hugepages");
	unsigned long long reserved = hugepages(ram->page_size, "resv_hugepages");

	/* The pages mapped before the failure are reserved for us. */
	pages = pages > reserved ? pages - reserved : 0;
	pages += mapped / ram->page_size;
	if (pages < needed)
		log_error(
			"guest RAM needs %llu huge pages of %zuM, but %llu of the host's %llu are "
			"free: raise vm.nr_hugepages (for other than the default size, "
			"nr_hugepages below /sys/kernel/mm/hugepages), or give the guest less",
			needed, ram->page_size >> 20, pages,
			hugepages(ram->page_size, "nr_hugepages"));
	else
		log_error(
			"guest RAM needs %llu huge pages of %zuM; the host has them, but ebb may "
			"not take so many: raise size= of the hugetlbfs mount or the cgroup's limit",
			needed, ram->page_size >> 20);
}

void backing_explain(const struct ram *ram, uint64_t total, uint64_t mapped, int error)
{
	bool memory = error == ENOMEM || error == EAGAIN;

	if (memory && ram->backing == RAM_HUGETLBFS)
		explain_hugepages(ram, total, mapped);
	else if (memory && ram->backing == RAM_ANON && overcommit_forbidden())
		explain(total, "the host does not overcommit (vm.overcommit_memory is 2); "
			       "set that to 0 or 1, or give the guest less");
	else if (memory && ram->backing == RAM_ANON && limited(RLIMIT_DATA, RLIM_INFINITY))
		explain(total, "the limit RLIMIT_DATA is too low; raise it with 'ulimit -d'");
	else
		backing_explain_space(total, error);
}
