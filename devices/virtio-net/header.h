/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header in front of each frame (virtio 1.2 §5.1.6). Pure. Thread: any.
 */
#ifndef EBB_VIRTIO_NET_HEADER_H
#define EBB_VIRTIO_NET_HEADER_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both directions have the same rules, under features with other names. */
struct net_offloads {
	bool checksum, tso4, tso6, ecn;
};

/*
 * Return what the driver may ask of the device, and the device of the driver, by the negotiated
 * @features.
 */
struct net_offloads net_offloads_of_host(uint64_t features);
struct net_offloads net_offloads_of_guest(uint64_t features);

/*
 * Returns whether @header asks only for @allowed offloads, and only within a frame of @len bytes.
 * @valid_too: it may also say that the checksum is right already.
 */
bool net_header_fits(const struct virtio_net_hdr_v1 *header, size_t len,
		     const struct net_offloads *allowed, bool valid_too);

#endif
