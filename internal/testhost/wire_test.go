package testhost_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

func latency(t *testing.T, h *testhost.Host, d time.Duration, loss float64) {
	t.Helper()
	if err := h.Latency(d, loss); err != nil {
		t.Fatal(err)
	}
}

// connect makes a connection to a host's sshd, which has said nothing yet but
// its greeting.
func connect(t *testing.T, h *testhost.Host) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", h.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	for c := make([]byte, 1); c[0] != '\n'; {
		if _, err := io.ReadFull(conn, c); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// answer is how long sshd takes for its first answer on such a connection.
func answer(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := conn.Write([]byte("SSH-2.0-test\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 64)); n == 0 {
		t.Fatalf("the connection was lost: %v", err)
	}
	return time.Since(began)
}

func TestLatency(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "galena"})
	const d = 40 * time.Millisecond

	before := connect(t, h)
	latency(t, h, d, 0)
	if took := answer(t, before); took < d {
		t.Errorf("on a connection of before a round trip took %s, want at least %s", took, d)
	}
	began := time.Now()
	during := connect(t, h)
	if took := time.Since(began); took < 2*d { // its start and the greeting
		t.Errorf("a connection took %s, want at least %s", took, 2*d)
	}
	const many = 1 << 20 // full frames, and more of them than acknowledged at once
	if got := len(mustSSH(t, n, h.Name, "head", "-c", "1048576", "/dev/zero", "|", "tr", `'\000'`, "x")); got != many {
		t.Errorf("of %d bytes %d arrive", many, got)
	}

	if err := h.LinkDown(); err != nil {
		t.Fatal(err)
	}
	if reachable(h) {
		t.Error("the host is reached without a cable")
	}
	if err := h.LinkUp(); err != nil {
		t.Fatal(err)
	}
	mustSSH(t, n, h.Name, "true")

	latency(t, h, 2*d, 0)
	if took := answer(t, connect(t, h)); took < 2*d {
		t.Errorf("a round trip took %s, want at least %s", took, 2*d)
	}
	latency(t, h, 0, 0)
	answer(t, during)
	mustSSH(t, n, h.Name, "true")
	var links []string
	for _, l := range traces(n.Addr.String(), "/nowhere") {
		if strings.HasPrefix(l, "link ") {
			links = append(links, l)
		}
	}
	if len(links) != 2 { // the bridge and the link of the host
		t.Errorf("after the latency there are %q", links)
	}
}

func TestLoss(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "galena"})
	latency(t, h, time.Millisecond, 0.2)
	conn, err := net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: h.IP.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ping := func(number int) {
		echo := []byte{0: 8, 7: 0} // an echo request without a name
		binary.BigEndian.PutUint16(echo[6:], uint16(number))
		binary.BigEndian.PutUint16(echo[2:], ^(8<<8 + uint16(number))) // the checksum
		if _, err := conn.Write(echo); err != nil {
			t.Fatal(err)
		}
	}
	const pings = 1000
	for i := range pings {
		ping(i)
	}
	// Frames stay in order: with the answer to a later one all others are decided.
	answered := map[uint16]bool{}
	deadline := time.Now().Add(time.Minute)
	for last := uint16(0); last < pings; {
		ping(pings)
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		reply := make([]byte, 64)
		switch size, _, err := conn.ReadFrom(reply); {
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline):
		case err != nil:
			t.Fatal(err)
		case size >= 8 && reply[0] == 0:
			last = binary.BigEndian.Uint16(reply[6:])
			answered[last] = true
		}
	}
	delete(answered, pings)
	// 0.8 of them arrive there, and 0.8 of the answers here.
	if got := len(answered); got < pings*54/100 || got > pings*74/100 {
		t.Errorf("%d of %d pings were answered, want about 640", got, pings)
	}
}
