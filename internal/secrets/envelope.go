package secrets

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	sopsjson "github.com/getsops/sops/v3/stores/json"
)

// sopsVersion is what an envelope says it was made by: the version of the
// library in go.mod. (The library's own constant would bring its command line.)
const sopsVersion = "3.13.3"

// Encrypt makes a sops binary envelope, laid out as by the sops program: one
// key group of age recipients (age1…, age1pq1…, plugin, ssh-ed25519, ssh-rsa),
// sorted and without doubles. It needs no identity.
func Encrypt(ctx context.Context, plain []byte, recipients []string, now time.Time) ([]byte, error) {
	dataKey, err := newDataKey()
	if err != nil {
		return nil, err
	}
	group, err := wrapKeys(ctx, dataKey, recipients, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	branches, err := binaryStore().LoadPlainFile(plain)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	tree := sops.Tree{
		Branches: branches,
		Metadata: sops.Metadata{
			KeyGroups:    []sops.KeyGroup{group},
			LastModified: now.UTC(),
			Version:      sopsVersion,
		},
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		return nil, errors.New("encrypt: the value cannot be encrypted") // the library's error may quote it
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, macContext(tree))
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return emit(tree)
}

// Decrypt opens a sops binary envelope and checks its MAC. Errors: [ErrNotSops],
// [ErrNoIdentity], [NoMatchError], [ErrMACMismatch], [UnsupportedError].
func Decrypt(ctx context.Context, envelope []byte, ids *Identities) ([]byte, error) {
	tree, err := load(envelope)
	if err != nil {
		return nil, err
	}
	dataKey, err := unwrapDataKey(ctx, ageKeys(tree), ids)
	if err != nil {
		return nil, err
	}
	return openTree(tree, dataKey)
}

// EnvelopeRecipients lists the age recipients of an envelope, sorted, without
// needing a key. Keys of other kinds (PGP, cloud) are not listed.
func EnvelopeRecipients(envelope []byte) ([]string, error) {
	tree, err := load(envelope)
	if err != nil {
		return nil, err
	}
	return recipientsOf(tree), nil
}

// Rewrap changes who can read an envelope and keeps its content and data key,
// like `sops updatekeys`: kept recipients keep their stanza, keys of other kinds
// than age stay. If the recipients are already right the envelope is returned
// as it is, and no identity is needed. Whoever is removed and has seen the old
// file can still read the value: rotate it.
func Rewrap(ctx context.Context, envelope []byte, recipients []string, ids *Identities) ([]byte, error) {
	tree, err := load(envelope)
	if err != nil {
		return nil, err
	}
	if SameRecipients(recipientsOf(tree), recipients) {
		return envelope, nil
	}
	dataKey, err := unwrapDataKey(ctx, ageKeys(tree), ids)
	if err != nil {
		return nil, err
	}
	// Nobody is given a file that was tampered with. Opening it changes the
	// tree, so that a second copy is written.
	if _, err := openTree(tree, dataKey); err != nil {
		return nil, err
	}
	if tree, err = load(envelope); err != nil {
		return nil, err
	}
	group, err := wrapKeys(ctx, dataKey, recipients, ageKeys(tree))
	if err != nil {
		return nil, fmt.Errorf("encrypt again: %w", err)
	}
	for _, key := range tree.Metadata.KeyGroups[0] {
		if _, isAge := key.(*sopsage.MasterKey); !isAge {
			group = append(group, key)
		}
	}
	tree.Metadata.KeyGroups = []sops.KeyGroup{group}
	return emit(tree)
}

// load reads an envelope and refuses what a value of a fleet never is. The
// library's errors are not passed on where they may quote a plaintext that was
// put in the place of an envelope.
func load(envelope []byte) (sops.Tree, error) {
	// The library's reader takes a truncated file for a whole one.
	if !json.Valid(envelope) {
		return sops.Tree{}, ErrNotSops
	}
	tree, err := binaryStore().LoadEncryptedFile(envelope)
	if errors.Is(err, sops.MetadataNotFound) {
		return sops.Tree{}, ErrNotSops
	}
	if err != nil {
		return sops.Tree{}, fmt.Errorf("%w that can be understood: its metadata is damaged or of an unknown kind", ErrNotSops)
	}
	meta := &tree.Metadata
	if len(meta.KeyGroups) != 1 {
		return sops.Tree{}, &UnsupportedError{Feature: "several key groups"}
	}
	if (meta.UnencryptedSuffix != "" && meta.UnencryptedSuffix != sops.DefaultUnencryptedSuffix) ||
		meta.EncryptedSuffix != "" || meta.UnencryptedRegex != "" || meta.EncryptedRegex != "" ||
		meta.UnencryptedCommentRegex != "" || meta.EncryptedCommentRegex != "" {
		return sops.Tree{}, &UnsupportedError{Feature: "a rule that leaves values unencrypted"}
	}
	// The library sets the suffix where the file has none; the sops program
	// writes none into a binary file.
	meta.UnencryptedSuffix = ""
	if len(tree.Branches[0]) != 1 || tree.Branches[0][0].Key != "data" {
		return sops.Tree{}, &UnsupportedError{Feature: "values of its own names (it is YAML or JSON, not one binary value)"}
	}
	item := &tree.Branches[0][0]
	data, isText := item.Value.(string)
	if !isText {
		return sops.Tree{}, &UnsupportedError{Feature: "data that is no text"}
	}
	if item.Value, err = encryptedText(data); err != nil {
		return sops.Tree{}, err
	}
	if meta.MessageAuthenticationCode, err = encryptedText(meta.MessageAuthenticationCode); err != nil {
		return sops.Tree{}, err
	}
	return tree, nil
}

// encryptedText checks that a value is encrypted, before the library sees it:
// its errors quote what is not, and it panics on the type bytes, which the first
// versions of sops wrote. The type is not covered by the encryption, and bytes
// and str are the same bytes.
func encryptedText(value string) (string, error) {
	if value == "" {
		return value, nil // how sops writes an empty value
	}
	body, isEncrypted := strings.CutPrefix(value, "ENC[AES256_GCM,data:")
	if !isEncrypted {
		return "", fmt.Errorf("%w: it has the form of one, but what it holds is not encrypted", ErrNotSops)
	}
	if body, isBytes := strings.CutSuffix(body, ",type:bytes]"); isBytes {
		return "ENC[AES256_GCM,data:" + body + ",type:str]", nil
	}
	if !strings.HasSuffix(body, ",type:str]") {
		return "", &UnsupportedError{Feature: "a value that is neither text nor bytes"}
	}
	return value, nil
}

// openTree decrypts the data of a tree in place and checks the MAC.
func openTree(tree sops.Tree, dataKey []byte) ([]byte, error) {
	cipher := aes.NewCipher()
	computed, err := tree.Decrypt(dataKey, cipher)
	if err != nil {
		return nil, ErrMACMismatch
	}
	stored, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, dataKey, macContext(tree))
	if err != nil {
		return nil, ErrMACMismatch
	}
	if mac, isText := stored.(string); !isText || subtle.ConstantTimeCompare([]byte(mac), []byte(computed)) != 1 {
		return nil, ErrMACMismatch
	}
	plain, isText := tree.Branches[0][0].Value.(string)
	if !isText {
		return nil, ErrMACMismatch
	}
	return []byte(plain), nil
}

// macContext is what the MAC is bound to beside the data key.
func macContext(tree sops.Tree) string {
	return tree.Metadata.LastModified.Format(time.RFC3339)
}

func emit(tree sops.Tree) ([]byte, error) {
	envelope, err := binaryStore().EmitEncryptedFile(tree)
	if err != nil {
		return nil, fmt.Errorf("write the envelope: %w", err)
	}
	return envelope, nil
}

// binaryStore writes tabs, as the sops program does; the zero value of its
// configuration would mean no indentation at all.
func binaryStore() *sopsjson.BinaryStore {
	return sopsjson.NewBinaryStore(&config.JSONBinaryStoreConfig{Indent: -1})
}

// ageKeys are the age entries of an envelope.
func ageKeys(tree sops.Tree) []*sopsage.MasterKey {
	var found []*sopsage.MasterKey
	for _, key := range tree.Metadata.KeyGroups[0] {
		if key, isAge := key.(*sopsage.MasterKey); isAge {
			found = append(found, key)
		}
	}
	return found
}

func recipientsOf(tree sops.Tree) []string {
	var recipients []string
	for _, key := range ageKeys(tree) {
		recipients = append(recipients, key.Recipient)
	}
	return normalizeRecipients(recipients)
}
