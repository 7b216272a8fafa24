// Package testhost makes machines for tests and takes them down whatever happens.
// Only tests import it; it needs root on Linux and what .ci/setup brings.
//
// A [Network] is one bridge in the machine's own network namespace with an
// address of 10.213.X.0/24, so that the test process and every program it
// starts (ssh, nix) reach the hosts by dialling their address. Each host sits in
// a network namespace of its own, joined to the bridge by a veth pair, with an
// address and no default route: nothing that a host sends leaves the bridge.
//
// Hosts are of two kinds. [Light] is a set of namespaces (network, mount, UTS,
// IPC, process) with its own disk — /etc, /root, /home, /var, /boot and an empty
// /nix — and a real sshd; it has no service manager and takes milliseconds.
// [Full] boots a Debian with systemd, journal, sshd and Nix in systemd-nspawn; a
// reboot asked for inside is a reboot. What both have in common is [Host].
//
//	n := testhost.NewNetwork(t)
//	hosts := testhost.Lights(t, n, testhost.Options{Name: "cinnabar"}, testhost.Options{Name: "electrum"})
//	exec.Command("ssh", "-F", n.SSHConfig, "cinnabar", "hostname")
//	out, errOut, code := hosts[0].Exec(t.Context(), "nix-store", "--verify")
//
// A host's disk outlives [Host.Kill] and ends with the test. Everything is
// removed by t.Cleanup; what a killed test binary leaves behind dies with it
// (processes) or is removed by the next [NewNetwork] on the machine (the rest).
package testhost
