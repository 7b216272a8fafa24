package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// ageFile is an age file, without armor.
type ageFile struct {
	data []byte
	// stanzas are the types of the parts of its header, one or more for each
	// recipient.
	stanzas []string
}

const ageMagic = "age-encryption.org/v1\n"

// parseAge reads an age file, armored or not, as far as that needs no key. The
// errors of the library are not passed on, because they may quote a plaintext
// that was put in the place of the file.
func parseAge(data []byte) (*ageFile, error) {
	armored := bytes.HasPrefix(bytes.TrimSpace(data), []byte(armor.Header))
	if armored {
		var err error
		if data, err = io.ReadAll(armor.NewReader(bytes.NewReader(data))); err != nil {
			return nil, fmt.Errorf("%w that can be understood: it is cut off or damaged", ErrNotAge)
		}
	}
	if !bytes.HasPrefix(data, []byte(ageMagic)) {
		return nil, ErrNotAge
	}
	header, err := age.ExtractHeader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w that can be understood: its header is damaged", ErrNotAge)
	}
	f := &ageFile{data: data}
	for line := range strings.Lines(string(header)) {
		if stanza, ok := strings.CutPrefix(line, "-> "); ok {
			kind, _, _ := strings.Cut(strings.TrimSuffix(stanza, "\n"), " ")
			if !strings.HasSuffix(kind, "-grease") { // rage adds one that means nothing
				f.stanzas = append(f.stanzas, kind)
			}
		}
	}
	return f, nil
}

// isFor tells whether the file can be encrypted to exactly these recipients. The
// parts of the header tell only of what kind they are, and nothing that can be
// checked if one is of a plugin's.
func (f *ageFile) isFor(recipients []string) bool {
	var kinds []string
	for _, recipient := range recipients {
		switch {
		case strings.HasPrefix(recipient, "age1pq1"):
			kinds = append(kinds, "mlkem768x25519")
		case isPluginRecipient(recipient):
			return len(f.stanzas) > 0
		case strings.HasPrefix(recipient, "age1"):
			kinds = append(kinds, "X25519")
		default: // ssh-ed25519 or ssh-rsa
			kind, _, _ := strings.Cut(recipient, " ")
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return slices.Equal(kinds, slices.Sorted(slices.Values(f.stanzas)))
}

// sealAge makes an armored age file, as the age program does.
func sealAge(ctx context.Context, plain []byte, recipients []string) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("there is nobody to encrypt to")
	}
	var parsed []age.Recipient
	for _, recipient := range recipients {
		one, err := parseRecipient(recipient)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, one)
	}
	encrypt := func() ([]byte, error) {
		var text bytes.Buffer
		armored := armor.NewWriter(&text)
		w, err := age.Encrypt(armored, parsed...)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(plain); err != nil {
			return nil, err
		}
		err = errors.Join(w.Close(), armored.Close())
		return text.Bytes(), err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var data []byte
	var err error
	if slices.ContainsFunc(recipients, isPluginRecipient) {
		data, err = bounded(ctx, encrypt)
	} else {
		data, err = encrypt()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt to %s: %w", strings.Join(recipients, ", "), err)
	}
	return data, nil
}

// open decrypts the file with the first identity that fits: the keys held here
// before the plugins, which may want a finger on a token. Errors:
// [NoMatchError], [ErrMACMismatch].
func (f *ageFile) open(ctx context.Context, ids *Identities) ([]byte, error) {
	noMatch := &NoMatchError{Own: ids.Recipients()}
	var held []age.Identity
	var plugins []identity
	for _, id := range ids.identities {
		if id.plugin != "" {
			plugins = append(plugins, id)
		} else {
			held = append(held, id)
		}
	}
	decrypt := func(identities ...age.Identity) ([]byte, error) {
		r, err := age.Decrypt(bytes.NewReader(f.data), identities...)
		if err != nil {
			return nil, err
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			return nil, ErrMACMismatch
		}
		return plain, nil
	}
	mismatch := (*age.NoIdentityMatchError)(nil)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(held) > 0 {
		plain, err := decrypt(held...)
		if err == nil {
			return plain, nil
		}
		if !errors.As(err, &mismatch) {
			return nil, ErrMACMismatch
		}
	}
	for _, id := range plugins {
		plain, err := bounded(ctx, func() ([]byte, error) { return decrypt(id) })
		switch {
		case err == nil:
			return plain, nil
		case errors.Is(err, ErrMACMismatch):
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.As(err, &mismatch):
			noMatch.Causes = append(noMatch.Causes, fmt.Errorf("the identity of age-plugin-%s: %w", id.plugin, err))
		}
	}
	return nil, noMatch
}
