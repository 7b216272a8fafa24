package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeyCheck decides about the key that a host shows.
type hostKeyCheck struct {
	name       string // host:port as looked up in known_hosts
	algorithms []string
	callback   ssh.HostKeyCallback
}

// keyAlgorithms are the kinds of host key that we ask for, best first. Those
// of known keys go before them: without that, a second key of the host would
// look like a changed one.
var keyAlgorithms = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

func newHostKeyCheck(cfg Config, s settings) (*hostKeyCheck, error) {
	check := &hostKeyCheck{name: net.JoinHostPort(s.host, strconv.Itoa(s.port))}
	if s.hostKeyAlias != "" {
		check.name = net.JoinHostPort(s.hostKeyAlias, "22") // an alias has no port, as in OpenSSH
	}
	var known []string
	var err error
	if len(cfg.HostKeys) > 0 {
		known, err = check.usePinned(cfg.HostKeys, cfg.HostKeysFrom)
	} else {
		known, err = check.useKnownHosts(s)
	}
	if err != nil {
		return nil, err
	}
	for _, algorithm := range append(known, keyAlgorithms...) {
		if !slices.Contains(check.algorithms, algorithm) {
			check.algorithms = append(check.algorithms, algorithm)
		}
	}
	return check, nil
}

// usePinned trusts exactly the keys in lines and gives their algorithms.
func (c *hostKeyCheck) usePinned(lines []string, from string) ([]string, error) {
	if from == "" {
		from = "the fleet's vars"
	}
	var keys []ssh.PublicKey
	var algorithms, want []string
	for _, line := range lines {
		key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("read the host keys of %s from %s: %q is not one public key", c.name, from, line)
		}
		keys = append(keys, key)
		want = append(want, fingerprint(key)+" ("+from+")")
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, key.Type())
		}
	}
	c.callback = func(_ string, _ net.Addr, got ssh.PublicKey) error {
		for _, key := range keys {
			if bytes.Equal(key.Marshal(), got.Marshal()) {
				return nil
			}
		}
		return &HostKeyError{
			Host: knownhosts.Normalize(c.name), Got: fingerprint(got), Want: want, Err: ErrHostKeyChanged,
			Fix: "somebody may be in between, or the host was installed anew: compare with `ssh-keygen -lf " + keyFile(got) + "` on its console",
		}
	}
	return algorithms, nil
}

// useKnownHosts trusts what the known_hosts files say and gives the
// algorithms of the keys that they have for this host.
func (c *hostKeyCheck) useKnownHosts(s settings) ([]string, error) {
	var files []string
	for _, file := range append(slices.Clone(s.userKnownHosts), s.globalKnownHosts...) {
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		if info.Mode().IsRegular() { // not /dev/null
			files = append(files, file)
		}
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w; mend or remove that line", err)
	}
	writeTo := "~/.ssh/known_hosts"
	if len(s.userKnownHosts) > 0 && s.userKnownHosts[0] != "none" && s.userKnownHosts[0] != os.DevNull {
		writeTo = s.userKnownHosts[0]
	}
	callback := db.HostKeyCallback()
	c.callback = func(name string, remote net.Addr, got ssh.PublicKey) error {
		err := callback(name, remote, got)
		if err == nil {
			return nil
		}
		return c.explain(err, got, writeTo)
	}
	return db.HostKeyAlgorithms(c.name), nil
}

// explain turns the answer of known_hosts into one that can be acted upon.
func (c *hostKeyCheck) explain(err error, got ssh.PublicKey, writeTo string) error {
	name := knownhosts.Normalize(c.name)
	failure := &HostKeyError{Host: name, Got: fingerprint(got), Err: ErrHostKeyUnknown}
	// The very key that was seen is added, not what a second look would fetch.
	add := fmt.Sprintf("echo '%s' >>'%s'", knownhosts.Line([]string{c.name}, got), writeTo)
	compare := "if `ssh-keygen -lf " + keyFile(got) + "` on its console shows the same fingerprint: "

	var revoked *xknownhosts.RevokedError
	var mismatch *xknownhosts.KeyError
	switch {
	case errors.As(err, &revoked):
		failure.Err = ErrHostKeyRevoked
		failure.Fix = fmt.Sprintf("the host needs a new key, see %s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &mismatch) && len(mismatch.Want) > 0:
		failure.Err = ErrHostKeyChanged
		var commands []string
		for _, want := range mismatch.Want {
			failure.Want = append(failure.Want, fmt.Sprintf("%s (%s:%d)", fingerprint(want.Key), want.Filename, want.Line))
			remove := fmt.Sprintf("ssh-keygen -R '%s' -f '%s'", name, want.Filename)
			if !slices.Contains(commands, remove) {
				commands = append(commands, remove)
			}
		}
		failure.Fix = "somebody may be in between, or the host was installed anew; " + compare +
			strings.Join(append(commands, add), " && ")
	case errors.As(err, &mismatch):
		failure.Fix = compare + add
	default: // such as a certificate that has expired
		return fmt.Errorf("%s: the host key %s is not trusted: %w", name, fingerprint(got), err)
	}
	return failure
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
