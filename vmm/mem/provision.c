// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/provision.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"

/* Linux 5.14; older headers lack it, older kernels return EINVAL. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The piece taken between two checks for signals: 30 ms if a GiB takes a second. */
#define PIECE (32ULL << 20)

#define MIB(bytes) ((unsigned long long)(bytes) >> 20)

/* No kernel has more nodes (NODES_SHIFT is 10 at most). */
#define NODES_MAX 1024
#define LONG_BITS (8 * sizeof(long))

int provision_node(const struct ram *ram, int node)
{
	unsigned long mask[NODES_MAX / LONG_BITS] = {0};
	int error = 0;

	if (node < 0 || node >= NODES_MAX)
		error = EINVAL;
	else
		mask[node / LONG_BITS] = 1UL << node % LONG_BITS;
	/* The C library has no mbind(). The kernel subtracts one from the number of bits. */
	for (unsigned int i = 0; i < ram->regions && !error; i++)
		if (syscall(SYS_mbind, ram->region[i].hva, ram->region[i].size, MPOL_PREFERRED,
			    mask, NODES_MAX + 1, 0) < 0)
			error = errno;
	if (error == EINVAL)
		log_error("NUMA node %d has no memory that ebb may use: choose one that "
			  "/sys/devices/system/node/has_memory lists and ebb's cpuset allows",
			  node);
	else if (error == ENOSYS)
		log_error("this host's kernel does not support NUMA: leave out --numa-node %d",
			  node);
	else if (error)
		log_error("cannot take guest RAM from NUMA node %d: %s", node, strerror(error));
	return -error;
}

int provision_lock(const struct ram *ram)
{
	/* Pages of hugetlbfs are never swapped, and mlock2() would take all of them at once. */
	if (ram->backing == RAM_HUGETLBFS)
		return 0;
	for (unsigned int i = 0; i < ram->regions; i++) {
		if (mlock2(ram->region[i].hva, ram->region[i].size, MLOCK_ONFAULT) == 0)
			continue;
		int error = errno;
		struct rlimit limit = {0};
		getrlimit(RLIMIT_MEMLOCK, &limit);
		if (error == ENOMEM || error == EPERM || error == EAGAIN)
			log_error("cannot lock %llu MiB of guest RAM: the limit RLIMIT_MEMLOCK is "
				  "%llu MiB; raise it with 'ulimit -l', or give ebb CAP_IPC_LOCK",
				  MIB(ram_size(ram)), MIB(limit.rlim_cur));
		else
			log_error("cannot lock guest RAM: %s", strerror(error));
		return -error;
	}
	return 0;
}

/* For kernels without MADV_POPULATE_WRITE. RAM is all zero: writing zeros changes nothing. */
static void touch(uint8_t *hva, uint64_t size, size_t page_size)
{
	for (uint64_t at = 0; at < size; at += page_size)
		*(volatile uint8_t *)(hva + at) = 0;
}

/* Returns 0 or -errno: -EINTR if ebb is asked to end. */
static int piece_take(uint8_t *hva, uint64_t size, size_t page_size)
{
	do {
		if (signal_waits())
			return -EINTR;
		if (madvise(hva, size, MADV_POPULATE_WRITE) == 0)
			return 0;
	} while (errno == EAGAIN || errno == EINTR);
	if (errno != EINVAL)
		return -errno;
	touch(hva, size, page_size);
	return 0;
}

static int region_take(const struct ram *ram, const struct ram_region *region)
{
	uint64_t piece = ram->page_size > PIECE ? ram->page_size : PIECE;
	int error = 0;
	for (uint64_t at = 0; at < region->size && !error; at += piece) {
		uint64_t left = region->size - at;
		error = piece_take(region->hva + at, left < piece ? left : piece, ram->page_size);
	}
	return error;
}

/* Taking more than the host has would not fail: the OOM killer would kill processes, then ebb. */
static bool host_is_too_small(uint64_t size)
{
	struct sysinfo host;
	if (sysinfo(&host) < 0)
		return false;
	uint64_t has = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit;
	if (size <= has)
		return false;
	log_error("cannot take %llu MiB of guest RAM at the start: the host has %llu MiB, swap "
		  "included; give the guest less, or leave out --mem-prealloc",
		  MIB(size), MIB(has));
	return true;
}

int provision_all(const struct ram *ram)
{
	uint64_t size = ram_size(ram);

	/* Huge pages are reserved by now. */
	if (ram->backing != RAM_HUGETLBFS && host_is_too_small(size))
		return -ENOMEM;
	int error = 0;
	for (unsigned int i = 0; i < ram->regions && !error; i++)
		error = region_take(ram, &ram->region[i]);
	if (error == -EINTR)
		log_error("a signal came while guest RAM was taken");
	else if (error)
		/* EFAULT: no page was left, where touching it would raise SIGBUS. */
		log_error("cannot take %llu MiB of guest RAM at the start: %s; give the guest "
			  "less, or leave out --mem-prealloc",
			  MIB(size),
			  error == -EFAULT ? "the host or ebb's cgroup has no memory left"
					   : strerror(-error));
	return error;
}
