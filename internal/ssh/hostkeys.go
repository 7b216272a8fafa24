package ssh

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeyCheck decides about the key that a host shows.
type hostKeyCheck struct {
	name       string // as in known_hosts
	algorithms []string
	trusted    int             // how many of them, the first, are those of keys that somebody vouches for
	shown      ssh.PublicKey   // the key or certificate that was checked last; nil before
	pinned     []ssh.PublicKey // by the fleet
	pinnedFrom string
	known      []knownAs
	revocation string // a file with revoked keys; empty: none
	env        func(string) string
	writeTo    string // the file of known_hosts that the person would add to
}

// knownAs is what known_hosts has under one of the host's names.
type knownAs struct {
	knownHost
	name string
	// loose is for the name without its port, where perhaps another server
	// listens: another key there is no alarm.
	loose bool
}

// keyAlgorithms are the kinds of host key that we ask for, best first. Those
// of known keys go before them: without that, a second key of the host would
// look like a changed one.
var keyAlgorithms = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// certAlgorithms are asked for before all others where an authority is known,
// and only there.
var certAlgorithms = []string{
	ssh.CertAlgoED25519v01,
	ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

func newHostKeyCheck(cfg Config, s settings) (*hostKeyCheck, error) {
	check := &hostKeyCheck{
		pinnedFrom: cfg.HostKeysFrom, revocation: s.revokedHostKeys, env: cfg.getenv,
		writeTo: "~/.ssh/known_hosts",
	}
	if check.pinnedFrom == "" {
		check.pinnedFrom = "the fleet's vars"
	}
	if len(s.userKnownHosts) > 0 && s.userKnownHosts[0] != "none" && s.userKnownHosts[0] != os.DevNull {
		check.writeTo = s.userKnownHosts[0]
	}
	check.name = knownName(s.host, s.port)
	if s.hostKeyAlias != "" {
		check.name = strings.ToLower(s.hostKeyAlias) // an alias has no port, as in OpenSSH
	}
	if err := check.readKnown(cfg, s); err != nil {
		return nil, err
	}
	for _, line := range cfg.HostKeys {
		key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("read the host keys of %s from %s: %q is not one public key", check.name, check.pinnedFrom, line)
		}
		check.pinned = append(check.pinned, key)
	}
	check.chooseAlgorithms()
	return check, nil
}

// readKnown reads what known_hosts has about the host. OpenSSH too takes a line
// without port where no key is known with the port. Where nobody vouches for this
// address, the host is the one that is known by another of its addresses.
func (c *hostKeyCheck) readKnown(cfg Config, s settings) error {
	files, err := readKnownHosts(append(slices.Clone(s.userKnownHosts), s.globalKnownHosts...))
	if err != nil {
		return err
	}
	keys := 0
	look := func(name string, loose bool) {
		if err != nil {
			return
		}
		k := knownAs{name: name, loose: loose}
		k.knownHost, err = lookUp(files, name)
		keys += len(k.keys)
		c.known = append(c.known, k)
	}
	look(c.name, false)
	if keys == 0 && s.hostKeyAlias == "" && s.port != 22 {
		look(knownName(s.host, 22), true)
	}
	if keys == 0 && len(c.authorities()) == 0 {
		for _, alias := range cfg.aliases {
			look(alias, false)
		}
	}
	return err
}

// authorities are the places of those that may vouch for the host.
func (c *hostKeyCheck) authorities() []string {
	var places []string
	for _, known := range c.known {
		for _, k := range known.authorities {
			places = append(places, k.place)
		}
	}
	return places
}

func (c *hostKeyCheck) chooseAlgorithms() {
	add := func(algorithms []string) {
		for _, algorithm := range algorithms {
			if !slices.Contains(c.algorithms, algorithm) {
				c.algorithms = append(c.algorithms, algorithm)
			}
		}
	}
	for _, key := range c.pinned {
		add(algorithmsOf(key))
	}
	if len(c.authorities()) > 0 {
		add(certAlgorithms)
	}
	for _, known := range c.known {
		for _, k := range known.keys {
			add(algorithmsOf(k.key))
		}
	}
	c.trusted = len(c.algorithms)
	add(keyAlgorithms)
}

// passOver is for a host whose key is not trusted: it leaves the algorithms by which
// the host may prove that it has another that is, and tells whether there are any.
// A host shows but one of its keys, and before its next deploy not always the one
// that is known: a pinned key of another kind is asked for first. The kinds that
// were asked for before the one shown it does not have.
func (c *hostKeyCheck) passOver() bool {
	if c.shown == nil { // the key was that of a jump host
		return false
	}
	isShown := func(algorithm string) bool { return slices.Contains(algorithmsOf(c.shown), algorithm) }
	from := slices.IndexFunc(c.algorithms[:c.trusted], isShown)
	if from < 0 {
		return false
	}
	c.algorithms = slices.DeleteFunc(c.algorithms[from:c.trusted], isShown)
	c.trusted = len(c.algorithms)
	return c.trusted > 0
}

// algorithmsOf are those by which a host proves that it has the key, or the
// certificate.
func algorithmsOf(key ssh.PublicKey) []string {
	switch key.Type() {
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	case ssh.CertAlgoRSAv01:
		return []string{ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}
	}
	return []string{key.Type()}
}

// callback is an ssh.HostKeyCallback. The host has proved that it has the key.
func (c *hostKeyCheck) callback(_ string, _ net.Addr, got ssh.PublicKey) error {
	cert, isCert := got.(*ssh.Certificate)
	plain := got
	if isCert {
		plain = cert.Key
	}
	c.shown = got
	if err := c.checkRevoked(plain, cert); err != nil {
		return err
	}
	if slices.ContainsFunc(c.pinned, func(k ssh.PublicKey) bool { return sameKey(k, plain) }) {
		return nil
	}
	var invalid error
	for _, known := range c.known {
		if slices.ContainsFunc(known.keys, func(k knownKey) bool { return sameKey(k.key, plain) }) {
			return nil
		}
		if !isCert {
			continue
		}
		host := hostOf(known.name)
		signer, err := known.certify(cert, host)
		if err == nil {
			return nil
		}
		if signer != nil && invalid == nil {
			invalid = &HostKeyError{
				Host: c.name, Got: describeCert(cert), Want: []string{"a certificate by " + fingerprint(signer.key) + " (" + signer.place + ")"},
				Fix: fmt.Sprintf("%s; sign its key again, for the name %s, and check the clock of this computer", strings.TrimPrefix(err.Error(), "ssh: "), host),
				Err: ErrHostCertificate,
			}
		}
	}
	if invalid != nil {
		return invalid
	}
	return c.stranger(plain)
}

// stranger says why a key is not trusted that nobody vouches for.
func (c *hostKeyCheck) stranger(got ssh.PublicKey) error {
	failure := &HostKeyError{Host: c.name, Got: fingerprint(got), Err: ErrHostKeyUnknown}
	for _, key := range c.pinned {
		failure.Want = append(failure.Want, fingerprint(key)+" ("+c.pinnedFrom+")")
	}
	var commands []string
	var unread []string
	for _, known := range c.known {
		unread = append(unread, known.unread...)
		if known.loose {
			continue
		}
		for _, k := range known.keys {
			failure.Want = append(failure.Want, fingerprint(k.key)+" ("+k.place+")")
			remove := fmt.Sprintf("ssh-keygen -R %s -f %s", shellQuote(known.name), shellQuote(k.file))
			if !slices.Contains(commands, remove) {
				commands = append(commands, remove)
			}
		}
	}
	// The very key that was seen is added, not what a second look would fetch.
	commands = append(commands, fmt.Sprintf("echo %s >>%s", shellQuote(knownLine(c.name, got)), shellQuote(c.writeTo)))
	failure.Fix = "if `ssh-keygen -lf " + keyFile(got) + "` on its console shows the same fingerprint: " + strings.Join(commands, " && ")
	switch {
	case len(failure.Want) > 0:
		failure.Err = ErrHostKeyChanged
		failure.Fix = "somebody may be in between, or the host was installed anew; " + failure.Fix
	case len(c.authorities()) > 0:
		failure.Fix = "the authority of " + c.authorities()[0] + " did not sign it; " + failure.Fix
	case len(unread) > 0:
		failure.Fix = unread[0] + " cannot be read, it may be of a kind that is not supported; " + failure.Fix
	}
	return failure
}

func describeCert(cert *ssh.Certificate) string {
	return fmt.Sprintf("a certificate for %s (%s)", fingerprint(cert.Key), strings.Join(cert.ValidPrincipals, ", "))
}

func fingerprint(key ssh.PublicKey) string {
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// keyFile is where a host of OpenSSH keeps a key of this kind.
func keyFile(key ssh.PublicKey) string {
	kind := "ed25519"
	switch {
	case strings.HasPrefix(key.Type(), "ecdsa-"):
		kind = "ecdsa"
	case key.Type() == ssh.KeyAlgoRSA:
		kind = "rsa"
	}
	return "/etc/ssh/ssh_host_" + kind + "_key.pub"
}
