package testhost

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	wireMTU = 1500
	// wireQueue is how many frames are under way in one direction, and how many
	// the kernel keeps for us; what comes on top is lost.
	wireQueue = 1 << 14
)

// wire is a long cable between a host and its network's bridge, for kernels
// without netem. The host's link is on a bridge of its own then, beside the tap
// device a; the tap device b is on the network's bridge. This process carries
// what leaves one tap into the other: whole frames, cut to size and with their
// checksums, as a tap is a device that does neither itself.
//
//	eth0 ═ link ─ [linkw] ─ linka ~~ this process ~~ linkb ─ [network's bridge]
//
// The taps end with this process; the bridge is removed by its name.
type wire struct {
	taps []*os.File
	cut  chan struct{}
	ends sync.WaitGroup
}

// Latency makes a round trip to the host take d longer, half of it each way, and
// loses the share loss (0 to 1) of all frames in each direction: the same ones in
// every run, as far as the traffic is the same. Both 0 is the plain cable again.
// Connections live through the change; what is under way is lost.
func (h *Host) Latency(d time.Duration, loss float64) error {
	h.wireMu.Lock()
	defer h.wireMu.Unlock()
	if h.wire != nil {
		if err := command("", "ip", "link", "set", h.link, "master", h.net.claim.bridge()); err != nil {
			return err
		}
		h.wire.close()
		h.wire = nil
		if err := command("", "ip", "link", "del", h.link+"w"); err != nil {
			return err
		}
	}
	if d == 0 && loss == 0 {
		return nil
	}
	var err error
	if h.wire, err = newWire(h.link, h.net.claim.bridge(), d/2, loss); err != nil {
		return fmt.Errorf("test host %s: laying a long cable: %w", h.Name, err)
	}
	return nil
}

// newWire takes the link off the bridge and connects both by a wire with this
// delay and loss each way.
func newWire(link, bridge string, delay time.Duration, loss float64) (*wire, error) {
	a, err := openTap(link + "a")
	if err != nil {
		return nil, err
	}
	b, err := openTap(link + "b")
	if err != nil {
		a.Close()
		return nil, err
	}
	w := &wire{taps: []*os.File{a, b}, cut: make(chan struct{})}
	w.ends.Go(func() { w.carry(a, b, delay, loss, rand.New(rand.NewPCG(1, 1))) })
	w.ends.Go(func() { w.carry(b, a, delay, loss, rand.New(rand.NewPCG(2, 2))) })
	// The new bridge is a way into this machine as well: who asks there for the
	// driver's address must get no answer past the wire.
	err = command(fmt.Sprintf(`link add %[1]sw type bridge forward_delay 0
link set %[1]sw arp off up
link set %[1]sa mtu %[3]d txqueuelen %[4]d master %[1]sw up
link set %[1]sb mtu %[3]d txqueuelen %[4]d master %[2]s up
link set %[1]s master %[1]sw
`, link, bridge, wireMTU, wireQueue), "ip", "-batch", "-")
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close ends the wire, and with it the taps.
func (w *wire) close() {
	close(w.cut)
	for _, tap := range w.taps {
		tap.Close()
	}
	w.ends.Wait()
}

// carry brings frames from one tap to the other, in order, until the wire is cut.
func (w *wire) carry(from, to *os.File, delay time.Duration, loss float64, random *rand.Rand) {
	type frame struct {
		content []byte
		due     time.Time
	}
	under := make(chan frame, wireQueue)
	w.ends.Go(func() {
		for f := range under {
			select {
			case <-time.After(time.Until(f.due)):
				_, _ = to.Write(f.content) // what a cable cannot deliver is lost
			case <-w.cut:
				return
			}
		}
	})
	defer close(under)
	buffer := make([]byte, wireMTU+18) // with the header of Ethernet and a VLAN's tag
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return // the wire was cut
		}
		if random.Float64() < loss {
			continue
		}
		select {
		case under <- frame{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}:
		case <-w.cut:
			return
		}
	}
}

// openTap makes a tap device, which is there until the file is closed.
func openTap(name string) (*os.File, error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: device, Err: err}
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the tap device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}
