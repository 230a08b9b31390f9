// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/log.h"

#define FEATURE(bit) (1ULL << (bit))
#define OFFLOADS                                                                                   \
	(FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |                            \
	 FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN) |                        \
	 FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) |                     \
	 FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN))
#define KIND (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

static struct tap *tap_of(struct net_backend *backend)
{
	return (struct tap *)((char *)backend - offsetof(struct tap, backend));
}

static int tap_send(struct net_backend *backend, const struct virtio_net_hdr_v1 *header,
		    struct iovec *iov, unsigned int n, size_t len)
{
	struct virtio_net_hdr_v1 copy = *header;

	(void)len;
	copy.num_buffers = 0;
	iov[0] = (struct iovec){&copy, sizeof(copy)};
	if (writev(backend->fd, iov, (int)n) >= 0)
		return 0;
	/*
	 * EBADFD: the interface was removed. Other errors, as of one that is down, cost this frame
	 * only.
	 */
	return errno == EBADFD ? -EPIPE : -errno;
}

static ssize_t tap_receive(struct net_backend *backend, struct virtio_net_hdr_v1 *header,
			   const uint8_t **frame)
{
	struct tap *tap = tap_of(backend);
	const struct iovec iov[] = {{&tap->header, sizeof(tap->header)},
				    {tap->in, sizeof(tap->in)}};
	ssize_t got = readv(backend->fd, iov, 2);

	if (got < 0)
		return errno == EAGAIN ? -EAGAIN : -EPIPE;
	*header = tap->header;
	*frame = tap->in;
	return got < (ssize_t)sizeof(tap->header) ? 0 : got - (ssize_t)sizeof(tap->header);
}

static void tap_offload(struct net_backend *backend, uint64_t features)
{
	static const struct {
		unsigned int feature, flag;
	} flags[] = {
		{VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
		{VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN},
	};
	unsigned long offloads = 0;

	/* The other offloads depend on this one. */
	if (features & FEATURE(VIRTIO_NET_F_GUEST_CSUM)) {
		offloads = TUN_F_CSUM;
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
			if (features & FEATURE(flags[i].feature))
				offloads |= flags[i].flag;
	}
	/* If this fails, frames with offloads that the driver did not accept are dropped. */
	ioctl(backend->fd, TUNSETOFFLOAD, offloads);
}

static int tap_attach(struct net_backend *backend, bool on)
{
	struct ifreq request = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};
	struct tap *tap = tap_of(backend);

	/* The kernel refuses what is done already. */
	if (on == !tap->detached)
		return 0;
	if (ioctl(backend->fd, TUNSETQUEUE, &request) < 0)
		return -errno;
	tap->detached = !on;
	return 0;
}

static const struct net_backend_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.offload = tap_offload,
	.attach = tap_attach,
};

/* --- opening --------------------------------------------------------------------------------- */

static int open_by_name(struct tap *tap, const char *name, bool several)
{
	struct ifreq request = {.ifr_flags = (short)(KIND | (several ? IFF_MULTI_QUEUE : 0))};

	tap->backend.fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->backend.fd < 0) {
		int error = errno;
		log_error("cannot open /dev/net/tun: %s%s", strerror(error),
			  error == ENOENT ? "; load the kernel's module tun" : "");
		return -error;
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(tap->backend.fd, TUNSETIFF, &request) < 0) {
		int error = errno;
		const char *help = "";
		if (error == EPERM)
			help = several ? ": it must be there and belong to you; as root, 'ip tuntap "
					 "add NAME mode tap multi_queue user USER'"
				       : ": it must be there and belong to you; as root, 'ip tuntap "
					 "add NAME mode tap user USER'";
		else if (error == EBUSY)
			help = ": another program has it";
		else if (error == EINVAL)
			help = several ? ": it must be a tap that was made with multi_queue"
				       : ": an interface of another kind, or one made with "
					 "multi_queue, has this name";
		log_error("cannot open the tap interface %s: %s%s", *name ? name : "(of any name)",
			  strerror(error), help);
		return -error;
	}
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return 0;
}

/* What sysfs has of the interface called @name; NULL if there is none. */
static FILE *open_attribute(const char *name, const char *attribute)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, attribute);
	return fopen(path, "re");
}

/* Not in another network namespace, where sysfs may show another interface of the same name: that has another address. */
static bool is_in_sysfs(int fd, const char *name)
{
	struct ifreq request = {0};
	uint8_t mac[6] = {0};
	FILE *file = open_attribute(name, "address");
	int bytes = 0;

	if (file) {
		bytes = fscanf(file, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1],
			       &mac[2], &mac[3], &mac[4], &mac[5]);
		fclose(file);
	}
	return bytes == sizeof(mac) && ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
	       memcmp(mac, request.ifr_hwaddr.sa_data, sizeof(mac)) == 0;
}

/*
 * Whether frames have no packet information before them. TUNGETIFF sets the bit of IFF_NO_PI for each
 * interface without a filter, too. sysfs tells, unless the interface is in another network namespace:
 * believe then that it has none.
 */
static bool has_no_packet_info(int fd, const char *name)
{
	unsigned int flags = IFF_NO_PI;
	FILE *file = is_in_sysfs(fd, name) ? open_attribute(name, "tun_flags") : NULL;

	if (file && fscanf(file, "%x", &flags) != 1)
		flags = IFF_NO_PI;
	if (file)
		fclose(file);
	return flags & IFF_NO_PI;
}

static int take_descriptor(struct tap *tap, int fd, bool several)
{
	struct ifreq request = {0};
	int flags;

	if (ioctl(fd, TUNGETIFF, &request) < 0 || (request.ifr_flags & KIND) != KIND ||
	    !has_no_packet_info(fd, request.ifr_name)) {
		log_error("the descriptor %d is not a tap with IFF_NO_PI and IFF_VNET_HDR", fd);
		return -EINVAL;
	}
	if (several && !(request.ifr_flags & IFF_MULTI_QUEUE)) {
		log_error("the descriptor %d is not a tap with IFF_MULTI_QUEUE: give it alone", fd);
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		log_error("cannot use the descriptor %d: %s", fd, strerror(errno));
		return -errno;
	}
	tap->backend.fd = fd;
	/* As another process, or an ebb before this one, has left it. */
	tap->detached = request.ifr_flags & IFF_DETACH_QUEUE;
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	return 0;
}

/* An interface that is down takes no frame. Another program may set it up, too. */
static void set_up(const struct tap *tap)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0 || request.ifr_flags & IFF_UP)
		goto out;
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		log_warn("the interface %s is down: as root, 'ip link set %s up'", tap->name,
			 tap->name);
out:
	if (fd >= 0)
		close(fd);
}

static int open_queue(struct tap *tap, const char *name, int fd, bool several)
{
	tap->backend = (struct net_backend){.ops = &tap_ops, .fd = -1, .features = OFFLOADS};
	tap->detached = false;
	return fd < 0 ? open_by_name(tap, name, several) : take_descriptor(tap, fd, several);
}

/* Attaches or detaches the queue, or says why it cannot. */
static int attach(struct tap *tap, bool on)
{
	int error = tap_attach(&tap->backend, on);
	if (error)
		log_error("cannot %s a queue of the tap interface %s: %s", on ? "attach" : "detach",
			  tap->name, strerror(-error));
	return error;
}

/* Of its descriptor, whoever changed it. */
static bool is_detached(const struct tap *tap)
{
	struct ifreq request = {0};
	return ioctl(tap->backend.fd, TUNGETIFF, &request) == 0 &&
	       request.ifr_flags & IFF_DETACH_QUEUE;
}

int tap_open(struct tap *tap, const char *name, int fd, bool several)
{
	int size = sizeof(struct virtio_net_hdr_v1);

	int error = open_queue(tap, name, fd, several);
	if (error)
		return error;
	if (ioctl(tap->backend.fd, TUNSETVNETHDRSZ, &size) < 0 ||
	    ioctl(tap->backend.fd, TUNSETOFFLOAD, 0) < 0) {
		log_error("cannot set the tap interface %s up: %s", tap->name, strerror(errno));
		return -errno;
	}
	error = attach(tap, true);
	if (!error)
		set_up(tap);
	return error;
}

int tap_open_more(struct tap *taps, unsigned int i, int fd)
{
	struct tap *tap = &taps[i];
	bool alone = true;

	int error = open_queue(tap, taps[0].name, fd, true);
	if (error)
		return error;
	if (strcmp(tap->name, taps[0].name) != 0) {
		log_error("the descriptor %d is of another interface (%s) than the first (%s)", fd,
			  tap->name, taps[0].name);
		return -EINVAL;
	}
	/* Those before it are now as they were left, unless they are this one. */
	error = attach(tap, true);
	for (unsigned int other = 1; other < i && !error; other++)
		alone = alone && is_detached(&taps[other]);
	error = error ? error : attach(tap, false);
	if (error)
		return error;
	if (!alone || is_detached(&taps[0])) {
		log_error(
			"the descriptor %d is a copy of another one: each needs a queue of its own",
			fd);
		return -EINVAL;
	}
	return 0;
}

void tap_release(struct tap *tap)
{
	if (tap->backend.ops && tap->backend.fd >= 0)
		close(tap->backend.fd);
	tap->backend.fd = -1;
}
