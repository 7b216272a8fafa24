package vars

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

// maker makes the files of one kind of built-in generator. It is the settings of
// that kind, as the options in core/machine/vars/builtins.nix declare them.
type maker interface {
	// make makes all files, or with material.source those that are made from it.
	make(m material) (map[string][]byte, error)
}

// material is all that a maker works with.
type material struct {
	inputs map[string]map[string][]byte // dependency → file → value
	// source is the file of builtinSources where it exists and only the others are
	// to be made, so that they belong to it; nil otherwise.
	source []byte
	// random is what secrets are made of. The libraries for age, bcrypt and ECDSA
	// take theirs from crypto/rand whatever they are given.
	random io.Reader
	now    time.Time
}

// builtin makes the files of a built-in generator. No foreign code runs for it,
// so it needs no sandbox and works on every platform.
func (r *run) builtin(ctx context.Context, step Step, n *Node) (map[string][]byte, error) {
	inputs, err := r.inputs(ctx, n)
	if err != nil {
		return nil, err
	}
	m, err := parseBuiltin(n.Def.Builtin)
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", n.ID, err)
	}
	with := material{inputs: inputs, random: rand.Reader, now: r.opts.Now()}
	if step.From != "" {
		if with.source, err = r.open(ctx, n, step.From); err != nil {
			return nil, fmt.Errorf("generator %s makes %s from %s: %w", n.ID, strings.Join(step.Missing, ", "), step.From, err)
		}
	}
	files, err := m.make(with)
	if err != nil && with.source != nil {
		err = fmt.Errorf("the %s that is there: %w", step.From, err)
	}
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", n.ID, err)
	}
	return files, nil
}

// builtinSources are the files that all other files of their kind follow from.
var builtinSources = map[string]string{
	"ssh-key":   "id_ed25519",
	"age-key":   "key.txt",
	"wireguard": "privatekey",
	"password":  "password",
	"x509-ca":   "ca.key",
	"x509-leaf": "tls.key",
}

// parseBuiltin gives the maker of what the flake tells.
func parseBuiltin(b *flake.Builtin) (maker, error) {
	var m maker
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

// sameBuiltin compares what two generators make themselves.
func sameBuiltin(a, b *flake.Builtin) bool {
	if a == nil || b == nil {
		return a == b
	}
	var x, y any
	err := errors.Join(json.Unmarshal(a.Settings, &x), json.Unmarshal(b.Settings, &y))
	return err == nil && a.Kind == b.Kind && reflect.DeepEqual(x, y)
}
