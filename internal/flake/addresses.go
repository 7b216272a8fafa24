package flake

import (
	"cmp"
	"net"
	"strconv"
	"strings"
)

// DeployOf is where a machine is reached: as the inventory says, and what that
// leaves open as the machine itself says, by its networks and after them by its
// modules. Details may be nil. value gives public values, which may hold the
// address of a machine in a network; it is empty for one that is not there.
func (f *Fleet) DeployOf(name string, details *Details, value func(ValueRef) string) Deploy {
	deploy := f.Machines[name].Deploy
	if details == nil {
		return deploy
	}
	deploy.BuildHost = cmp.Or(deploy.BuildHost, f.Flavour.buildHost(details.Deploy.BuildHost))
	if deploy.TargetHost != "" {
		return deploy
	}
	var ways []string
	for _, n := range details.Networks {
		ways = append(ways, n.addresses(value)...)
	}
	if own := f.Flavour.Login(details.Deploy.TargetHost); own != "" {
		ways = append(ways, own)
	}
	if len(ways) > 0 {
		deploy.TargetHost, deploy.Addresses = ways[0], append(ways[1:], deploy.Addresses...)
	}
	return deploy
}

// addresses are the hosts of a network that can be reached as they are: others,
// such as those of tor, want a program in between.
func (n Network) addresses(value func(ValueRef) string) (list []string) {
	if n.Technology != "direct" && n.Technology != "zerotier" {
		return nil
	}
	for _, h := range n.Hosts {
		host := h.Plain
		if h.Var != nil {
			host = value(*h.Var)
		}
		switch {
		case host == "":
			continue
		case n.Port != 0 && n.Port != 22:
			host = net.JoinHostPort(host, strconv.Itoa(n.Port))
		}
		list = append(list, cmp.Or(n.User, clanUser)+"@"+host)
	}
	return list
}

// clanUser is whom clan logs in as where nobody is named.
const clanUser = "root"

// Login is an address with the user that a flake of this flavour means where it
// names none.
func (f Flavour) Login(address string) string {
	host, isURL := strings.CutPrefix(address, "ssh://")
	name, _, _ := strings.Cut(host, "?")
	switch {
	case f != Clan || host == "" || strings.Contains(name, "@"):
		return address
	case !isURL && (address == "local" || strings.HasPrefix(address, "root:")): // which clan does not know
		return address
	case isURL:
		return "ssh://" + clanUser + "@" + host
	}
	return clanUser + "@" + host
}

// buildHost is Login for where systems are built.
func (f Flavour) buildHost(address string) string {
	if address == "localhost" { // no host, but this computer
		return address
	}
	return f.Login(address)
}
