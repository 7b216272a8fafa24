package secrets

import (
	"strings"

	"github.com/getsops/sops/v3"
)

// setCommentsAside takes the comments that are not encrypted out of a tree
// before the library decrypts it, which would print each of them. What it gives
// puts them back, and the others where they stood: the library forgets that a
// comment stood behind its value.
func setCommentsAside(tree sops.Tree) (restore func()) {
	meta := &tree.Metadata
	if meta.EncryptedCommentRegex != "" || meta.UnencryptedCommentRegex != "" {
		return func() {} // comments say what is encrypted
	}
	var puts []func()
	place := func(before sops.Comment, get func() any, put func(sops.Comment)) {
		if !strings.HasPrefix(before.Value, "ENC[") {
			put(sops.Comment{Inline: before.Inline})
			puts = append(puts, func() { put(before) })
			return
		}
		puts = append(puts, func() {
			if after, isComment := get().(sops.Comment); isComment {
				after.Inline = before.Inline
				put(after)
			}
		})
	}
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case sops.TreeBranch:
			for i := range value {
				if comment, isComment := value[i].Key.(sops.Comment); isComment {
					place(comment, func() any { return value[i].Key }, func(c sops.Comment) { value[i].Key = c })
				}
				walk(value[i].Value)
			}
		case []any:
			for i := range value {
				if comment, isComment := value[i].(sops.Comment); isComment {
					place(comment, func() any { return value[i] }, func(c sops.Comment) { value[i] = c })
					continue
				}
				walk(value[i])
			}
		}
	}
	for _, branch := range tree.Branches {
		walk(branch)
	}
	return func() {
		for _, put := range puts {
			put()
		}
	}
}

// textTypes gives values of the type bytes, which the first versions of sops
// wrote, the type str: the library panics on the former, and the bytes are the
// same. The type is not covered by the encryption.
func textTypes(tree sops.Tree) {
	var walk func(value any) any
	walk = func(value any) any {
		switch value := value.(type) {
		case string:
			if body, isBytes := strings.CutSuffix(value, ",type:bytes]"); isBytes && strings.HasPrefix(value, "ENC[") {
				return body + ",type:str]"
			}
		case sops.TreeBranch:
			for i := range value {
				if comment, isComment := value[i].Key.(sops.Comment); isComment {
					comment.Value, _ = walk(comment.Value).(string)
					value[i].Key = comment
				}
				value[i].Value = walk(value[i].Value)
			}
		case []any:
			for i := range value {
				value[i] = walk(value[i])
			}
		case sops.Comment:
			value.Value, _ = walk(value.Value).(string)
			return value
		}
		return value
	}
	for i := range tree.Branches {
		walk(tree.Branches[i])
	}
}
