// Package builtin makes the files of generators that need no script: keys of ssh,
// age and wireguard, passwords with their hashes, tokens, and X.509 certificates.
//
// Nothing foreign runs for them, so that they need no sandbox, build nothing and
// work on every platform. Their settings are the options that
// internal/flake/core/machine/vars/builtins.nix declares.
package builtin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// Maker makes the files of one kind of generator. It is the settings of that kind.
type Maker interface {
	// Make makes all files by their names, or with Material.Source those that are
	// made from it.
	Make(m Material) (map[string][]byte, error)
}

// Material is all that a [Maker] works with.
type Material struct {
	Inputs map[string]map[string][]byte // dependency → file → value
	// Source is the file that [Source] names, where it exists and only the others
	// are to be made, so that they belong to it; nil otherwise.
	Source []byte
	// Random is what secrets are made of. The libraries for age, bcrypt and ECDSA
	// take theirs from crypto/rand whatever they are given.
	Random io.Reader
	Now    time.Time
}

// Source is the file of a kind that all its other files follow from; empty if
// there is none.
func Source(kind string) string {
	switch kind {
	case "ssh-key":
		return "id_ed25519"
	case "age-key":
		return "key.txt"
	case "wireguard":
		return "privatekey"
	case "password":
		return "password"
	case "x509-ca":
		return "ca.key"
	case "x509-leaf":
		return "tls.key"
	}
	return ""
}

// Parse gives the maker of what the flake tells.
func Parse(b *flake.Builtin) (Maker, error) {
	var m Maker
	switch b.Kind {
	case "ssh-key":
		m = &sshKey{}
	case "age-key":
		m = &ageKey{}
	case "wireguard":
		m = &wireguardKey{}
	case "password":
		m = &password{}
	case "token":
		m = &token{}
	case "x509-ca":
		m = &x509CA{}
	case "x509-leaf":
		m = &x509Leaf{}
	default:
		return nil, fmt.Errorf("this fleet has no built-in generator %q: update the program, or use a script", b.Kind)
	}
	decoder := json.NewDecoder(bytes.NewReader(b.Settings))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("the settings of builtin.%s: %w", b.Kind, err)
	}
	return m, nil
}

// Same tells whether two generators, of which either may not be built in, are
// made in the same way.
func Same(a, b *flake.Builtin) bool {
	if a == nil || b == nil {
		return a == b
	}
	var x, y any
	err := errors.Join(json.Unmarshal(a.Settings, &x), json.Unmarshal(b.Settings, &y))
	return err == nil && a.Kind == b.Kind && reflect.DeepEqual(x, y)
}
