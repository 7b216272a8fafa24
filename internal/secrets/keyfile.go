package secrets

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Key is a public key as a key.json holds it.
type Key struct {
	PublicKey string `json:"publickey"`
	Type      string `json:"type"` // age or pgp
}

// Holder is somebody who can hold a secret: a machine, a user or the recovery
// key, with the public keys from its key.json.
type Holder struct {
	Name string
	Keys []Key
}

// Recipients are the age public keys of the holder, sorted.
func (h Holder) Recipients() []string {
	var recipients []string
	for _, key := range h.Keys {
		if key.Type == "age" {
			recipients = append(recipients, key.PublicKey)
		}
	}
	return normalizeRecipients(recipients)
}

// ParseKeys reads a key.json: a list of keys, a bare object (the old form), or a
// plain public key. There is at least one key, and age keys are complete.
func ParseKeys(data []byte) ([]Key, error) {
	data = bytes.TrimSpace(data)
	var keys []Key
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("[")):
		err = json.Unmarshal(data, &keys)
	case bytes.HasPrefix(data, []byte("{")):
		keys = make([]Key, 1)
		err = json.Unmarshal(data, &keys[0])
	case len(data) > 0:
		keys = []Key{{PublicKey: string(data)}}
	}
	if err != nil {
		return nil, fmt.Errorf("not a list of keys: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	for i := range keys {
		key := &keys[i]
		key.PublicKey = strings.TrimSpace(key.PublicKey)
		switch key.Type {
		case "":
			key.Type = "age"
		case "age", "pgp":
		default:
			return nil, fmt.Errorf("keys of type %q are not known: age and pgp are", key.Type)
		}
		if key.Type == "age" {
			if _, err := parseRecipient(key.PublicKey); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

// FormatKeys writes a key.json as clan does: a list, indented by two, sorted,
// without doubles and without a final newline.
func FormatKeys(keys []Key) ([]byte, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to write")
	}
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b Key) int {
		return cmp.Or(strings.Compare(a.PublicKey, b.PublicKey), strings.Compare(a.Type, b.Type))
	})
	return json.MarshalIndent(slices.Compact(sorted), "", "  ")
}
