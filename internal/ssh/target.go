package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Target names a host as a person writes it. What is left out comes from the
// OpenSSH configuration.
type Target struct {
	User string // empty: as configured
	Host string // name or address, without brackets
	Port int    // 0: as configured
	// Jump are the hosts to go through, as in ProxyJump. Empty: as configured;
	// "none": none.
	Jump string
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)
	userName = regexp.MustCompile(`^[A-Za-z0-9_.+@][A-Za-z0-9_.+@-]*$`)
)

// ParseTarget reads ssh://[user@]host[:port], the same without ssh://, and
// IPv6 addresses with or (where no port follows) without brackets. After a
// question mark, ProxyJump=HOST,… names hosts to go through.
func ParseTarget(s string) (Target, error) {
	wrong := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("target %q: %s; write ssh://[user@]host[:port]", s, why)
	}
	rest, options, hasOptions := strings.Cut(s, "?")
	rest, isURL := strings.CutPrefix(rest, "ssh://")
	if isURL {
		rest = strings.TrimSuffix(rest, "/")
	} else if scheme, _, ok := strings.Cut(rest, "://"); ok {
		return wrong("unknown scheme " + strconv.Quote(scheme))
	}

	var t Target
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		t.User, rest = rest[:i], rest[i+1:]
		if strings.Contains(t.User, ":") {
			return wrong("passwords do not belong into a target")
		}
		if !userName.MatchString(t.User) {
			return wrong("the user is not valid")
		}
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return wrong(err.Error())
	}
	t.Host, t.Port = host, port
	if !hasOptions {
		return t, nil
	}
	name, value, ok := strings.Cut(options, "=")
	if !ok || !strings.EqualFold(name, "ProxyJump") || value == "" || strings.Contains(value, "?") {
		return wrong("after ? only ProxyJump=HOST,… is understood, and other settings belong into ~/.ssh/config")
	}
	hops, err := parseJump(value)
	if err != nil {
		return Target{}, fmt.Errorf("target %q: %w", s, err)
	}
	if t.Jump = formatJump(hops); t.Jump == "" {
		t.Jump = "none"
	}
	return t, nil
}

// splitHostPort splits host[:port]; the port is 0 where there is none.
func splitHostPort(s string) (string, int, error) {
	if isIPv6(s) {
		return s, 0, nil
	}
	host, port := s, ""
	if inner, after, ok := strings.Cut(strings.TrimPrefix(s, "["), "]"); ok && strings.HasPrefix(s, "[") {
		if !isIPv6(inner) {
			return "", 0, errors.New("not an IPv6 address between the brackets")
		}
		if after == "" {
			return inner, 0, nil
		}
		host, port, ok = inner, strings.TrimPrefix(after, ":"), strings.HasPrefix(after, ":")
		if !ok {
			return "", 0, errors.New("the host is not valid")
		}
	} else if before, after, ok := strings.Cut(s, ":"); ok {
		host, port = before, after
	} else if hostName.MatchString(s) {
		return s, 0, nil
	}
	if !isIPv6(host) && !hostName.MatchString(host) {
		return "", 0, errors.New("the host is not valid")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", 0, errors.New("the port is not a number from 1 to 65535")
	}
	return host, int(number), nil
}

func isIPv6(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6() && (addr.Zone() == "" || hostName.MatchString(addr.Zone()))
}

// String gives the target as a URL that ParseTarget reads.
func (t Target) String() string {
	host := t.Host
	if t.Port != 0 {
		host = net.JoinHostPort(host, strconv.Itoa(t.Port))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.User != "" {
		host = t.User + "@" + host
	}
	if t.Jump != "" {
		host += "?ProxyJump=" + t.Jump
	}
	return "ssh://" + host
}
