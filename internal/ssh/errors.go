package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// What can become of an attempt to reach a host or to run something there.
// Test with errors.Is.
var (
	// ErrUnreachable: no way to the host (name, route, or no SSH server there).
	ErrUnreachable = errors.New("host is unreachable")
	// ErrRefused: the host is there and nothing listens on the port.
	ErrRefused = errors.New("connection refused")
	// ErrTimeout: the host did not answer in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrSilent: the host is there, and its Nix daemon was started and said nothing.
	ErrSilent = errors.New("its Nix daemon says nothing")
	// ErrHostKeyUnknown: nobody has vouched for the host's key yet.
	ErrHostKeyUnknown = errors.New("host key is not known")
	// ErrHostKeyChanged: the host shows another key than the one vouched for.
	ErrHostKeyChanged = errors.New("host key has changed")
	// ErrHostKeyRevoked: known_hosts says that the key must not be trusted.
	ErrHostKeyRevoked = errors.New("host key is revoked")
	// ErrHostCertificate: an authority that we trust signed the host's
	// certificate, but it is not valid for this host or not now.
	ErrHostCertificate = errors.New("host certificate is not valid")
	// ErrNotRoot: the user that logged in can neither be root nor become it.
	ErrNotRoot = errors.New("root is needed")
	// ErrClosed: the connection was gone before the command was sent; nothing ran.
	ErrClosed = errors.New("connection is closed")
	// ErrConnectionLost: the connection broke while the command ran; its outcome is unknown.
	ErrConnectionLost = errors.New("connection lost, the outcome of the command is unknown")
)

// ExitError says that a command ran to its end, and failed.
type ExitError struct {
	Host    string
	Command string // for people: shortened
	Code    int    // 128 + signal number where a signal ended it
	Signal  string // such as "TERM", empty where it exited by itself
	Stderr  string // the end of what it wrote there
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exited with status %d", e.Code)
	if e.Signal != "" {
		how = "was ended by signal " + e.Signal
	}
	text := fmt.Sprintf("%s on %s %s", e.Command, e.Host, how)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// AuthError says that the host let none of our keys in.
type AuthError struct {
	User, Host string
	Accepts    []string // methods that the host accepts, as far as it said
	Tried      []string // names of the keys that were offered
	Skipped    []string // keys that could not be offered, each with the reason
	Err        error
}

func (e *AuthError) Error() string {
	text := fmt.Sprintf("%s does not let %s in", e.Host, e.User)
	if len(e.Accepts) > 0 {
		text += " (it accepts: " + strings.Join(e.Accepts, ", ") + ")"
	}
	if len(e.Tried) > 0 {
		text += "; offered " + strings.Join(e.Tried, ", ")
	} else {
		text += "; there was no key to offer: load one with `ssh-add` or name it as IdentityFile in ~/.ssh/config"
	}
	if len(e.Skipped) > 0 {
		text += "; not offered: " + strings.Join(e.Skipped, ", ")
	}
	text += ": " + e.Err.Error()
	if strings.Contains(text, "Too many authentication failures") {
		text += "; name the key for it as IdentityFile in ~/.ssh/config, then it is offered first"
	}
	return text
}

func (e *AuthError) Unwrap() error { return e.Err }

// HostKeyError says why the key that a host showed is not trusted.
type HostKeyError struct {
	Host string   // as in known_hosts
	Got  string   // type and fingerprint of the key that the host showed
	Want []string // type, fingerprint and place of the keys that we trust
	Fix  string   // what to do, ending in a command where there is one
	Err  error    // ErrHostKeyUnknown, ErrHostKeyChanged, ErrHostKeyRevoked or ErrHostCertificate
}

func (e *HostKeyError) Error() string {
	text := fmt.Sprintf("%s: %v: it shows %s", e.Host, e.Err, e.Got)
	if len(e.Want) > 0 {
		text += ", trusted is " + strings.Join(e.Want, ", ")
	}
	return text + "; " + e.Fix
}

func (e *HostKeyError) Unwrap() error { return e.Err }
