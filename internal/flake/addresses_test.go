package flake_test

import (
	"testing"

	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A clan's machine is reached as its inventory says; else by its networks, the
// best first, and then as its modules say: as root where nobody is named.
func TestDeployOf(t *testing.T) {
	values := map[flake.ValueRef]string{{Machine: "db", Generator: "zerotier", File: "ip"}: "fd00::1"}
	value := func(v flake.ValueRef) string { return values[v] }
	networks := []flake.Network{
		{Technology: "p2p_ssh_iroh", Priority: 3000, Hosts: []flake.Host{{Plain: "endpoint"}}},
		{Technology: "direct", Priority: 2000, User: "admin", Port: 2222, Hosts: []flake.Host{{Plain: "192.0.2.2"}, {Plain: "db.example.org"}}},
		{Technology: "zerotier", Priority: 900, Port: 22, Hosts: []flake.Host{{Var: &flake.ValueRef{Machine: "db", Generator: "zerotier", File: "ip"}}, {Var: &flake.ValueRef{Machine: "db", Generator: "zerotier", File: "none"}}}},
		{Technology: "tor", Priority: 10, Hosts: []flake.Host{{Plain: "db.onion"}}},
	}
	for _, tt := range []struct {
		name      string
		flavour   flake.Flavour
		inventory flake.Deploy
		details   *flake.Details
		want      flake.Deploy
	}{
		{name: "the inventory goes first", flavour: flake.Clan, inventory: flake.Deploy{TargetHost: "root@web"}, details: &flake.Details{Networks: networks, Deploy: flake.Deploy{TargetHost: "web"}}, want: flake.Deploy{TargetHost: "root@web"}},
		{name: "nothing is known yet", flavour: flake.Clan},
		{name: "networks", flavour: flake.Clan, details: &flake.Details{Networks: networks, Deploy: flake.Deploy{TargetHost: "db.lan", BuildHost: "big"}}, want: flake.Deploy{
			TargetHost: "admin@192.0.2.2:2222", Addresses: []string{"admin@db.example.org:2222", "root@fd00::1", "root@db.lan"}, BuildHost: "root@big",
		}},
		{name: "none that we can use", flavour: flake.Clan, details: &flake.Details{Networks: networks[:1], Deploy: flake.Deploy{TargetHost: "root@db"}}, want: flake.Deploy{TargetHost: "root@db"}},
		{name: "nowhere", flavour: flake.Clan, details: &flake.Details{}},
		{name: "as OpenSSH is set up", flavour: flake.Native, details: &flake.Details{Deploy: flake.Deploy{TargetHost: "db"}}, want: flake.Deploy{TargetHost: "db"}},
	} {
		fleet := &flake.Fleet{Flavour: tt.flavour, Inventory: flake.Inventory{Machines: map[string]flake.Machine{"db": {Deploy: tt.inventory}}}}
		if diff := cmp.Diff(tt.want, fleet.DeployOf("db", tt.details, value), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestLogin(t *testing.T) {
	for address, want := range map[string]string{
		"":                        "",
		"web":                     "root@web",
		"web:2222":                "root@web:2222",
		"ssh://web":               "ssh://root@web",
		"ssh://ops@web":           "ssh://ops@web",
		"ops@web":                 "ops@web",
		"web?ProxyJump=ops@jump":  "root@web?ProxyJump=ops@jump",
		"fd00::1":                 "root@fd00::1",
		"local":                   "local",
		"root:/mnt":               "root:/mnt",
		"ssh://root@h?ProxyJump=": "ssh://root@h?ProxyJump=",
	} {
		if got := flake.Clan.Login(address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
		if got := flake.Native.Login(address); got != address {
			t.Errorf("without clan, %s is %s", address, got)
		}
	}
}
