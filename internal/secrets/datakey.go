package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
)

// The data key of an envelope is wrapped and unwrapped here and not by the
// library, whose MasterKey looks into the process environment, runs commands and
// asks on the terminal when the identities it was given do not fit.

// wrapKeys makes the key group of an envelope: the data key once for each
// recipient. Recipients that are among kept keep the stanza they have.
func wrapKeys(ctx context.Context, dataKey []byte, recipients []string, kept []*sopsage.MasterKey) (sops.KeyGroup, error) {
	if len(recipients) == 0 {
		return nil, errors.New("there is nobody to encrypt to")
	}
	var group sops.KeyGroup
	for _, recipient := range normalizeRecipients(recipients) {
		i := slices.IndexFunc(kept, func(key *sopsage.MasterKey) bool { return NormalizeRecipient(key.Recipient) == recipient })
		if i >= 0 {
			group = append(group, kept[i])
			continue
		}
		wrapped, err := wrapDataKey(ctx, dataKey, recipient)
		if err != nil {
			return nil, err
		}
		group = append(group, &sopsage.MasterKey{Recipient: recipient, EncryptedKey: wrapped})
	}
	return group, nil
}

// wrapDataKey encrypts the data key to one recipient, as an armored age file.
func wrapDataKey(ctx context.Context, dataKey []byte, recipient string) (string, error) {
	parsed, err := parseRecipient(recipient)
	if err != nil {
		return "", err
	}
	wrap := func() (string, error) {
		var text bytes.Buffer
		armored := armor.NewWriter(&text)
		w, err := age.Encrypt(armored, parsed)
		if err != nil {
			return "", err
		}
		if _, err := w.Write(dataKey); err != nil {
			return "", err
		}
		if err := errors.Join(w.Close(), armored.Close()); err != nil {
			return "", err
		}
		return text.String(), nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	var wrapped string
	if isPluginRecipient(recipient) {
		wrapped, err = bounded(ctx, wrap)
	} else {
		wrapped, err = wrap()
	}
	if err != nil {
		return "", fmt.Errorf("encrypt to %s: %w", recipient, err)
	}
	return wrapped, nil
}

// unwrapDataKey decrypts the data key with the first identity that fits: the
// keys held here before the plugins, which may want a finger on a token.
func unwrapDataKey(ctx context.Context, keys []*sopsage.MasterKey, ids *Identities) ([]byte, error) {
	if err := ids.Require(); err != nil {
		return nil, err
	}
	var held []age.Identity
	var plugins []identity
	for _, id := range ids.identities {
		if id.plugin != "" {
			plugins = append(plugins, id)
		} else {
			held = append(held, id)
		}
	}
	noMatch := &NoMatchError{Own: ids.Recipients()}
	for _, key := range keys {
		noMatch.Recipients = append(noMatch.Recipients, NormalizeRecipient(key.Recipient))
	}
	try := func(key *sopsage.MasterKey, unwrap func() ([]byte, error)) []byte {
		dataKey, err := unwrap()
		if mismatch := (*age.NoIdentityMatchError)(nil); err != nil && !errors.As(err, &mismatch) {
			noMatch.Causes = append(noMatch.Causes, fmt.Errorf("the part for %s: %w", key.Recipient, err))
		}
		return dataKey
	}

	if len(held) > 0 {
		own := noMatch.Own
		for _, key := range preferred(keys, func(recipient string) bool { return slices.Contains(own, recipient) }) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			dataKey := try(key, func() ([]byte, error) { return unwrapWith(key, held...) })
			if dataKey != nil {
				return dataKey, nil
			}
		}
	}
	for _, id := range plugins {
		fits := func(recipient string) bool {
			return recipient == id.recipient || strings.HasPrefix(recipient, "age1"+id.plugin+"1")
		}
		for _, key := range preferred(keys, fits) {
			dataKey := try(key, func() ([]byte, error) {
				return bounded(ctx, func() ([]byte, error) { return unwrapWith(key, id) })
			})
			if dataKey != nil {
				return dataKey, nil
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if missing := (*plugin.NotFoundError)(nil); len(noMatch.Causes) > 0 && errors.As(noMatch.Causes[len(noMatch.Causes)-1], &missing) {
				break // not installed: it will not be for the next recipient either
			}
		}
	}
	return nil, noMatch
}

// preferred gives the keys whose recipient fits before the others.
func preferred(keys []*sopsage.MasterKey, fits func(recipient string) bool) []*sopsage.MasterKey {
	var first, rest []*sopsage.MasterKey
	for _, key := range keys {
		if fits(NormalizeRecipient(key.Recipient)) {
			first = append(first, key)
		} else {
			rest = append(rest, key)
		}
	}
	return append(first, rest...)
}

// unwrapWith decrypts one armored age file.
func unwrapWith(key *sopsage.MasterKey, identities ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(key.EncryptedKey)), identities...)
	if err != nil {
		return nil, err
	}
	dataKey, err := io.ReadAll(io.LimitReader(r, dataKeySize+1))
	if err != nil {
		return nil, err
	}
	if len(dataKey) != dataKeySize {
		return nil, errors.New("it does not hold a data key")
	}
	return dataKey, nil
}

func newDataKey() ([]byte, error) {
	dataKey := make([]byte, dataKeySize)
	if _, err := rand.Read(dataKey); err != nil {
		return nil, fmt.Errorf("make a data key: %w", err)
	}
	return dataKey, nil
}

// dataKeySize is the length of the key that encrypts a value: AES-256.
const dataKeySize = 32
