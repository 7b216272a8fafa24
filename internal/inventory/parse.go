package inventory

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// parser reads the selection language by recursive descent:
//
//	or   = and { "|" and }
//	and  = unary { "&" unary }
//	unary = "!" unary | "(" or ")" | term
type parser struct {
	tokens []string
	depth  int
}

// maxDepth bounds nesting, so that a hostile selection cannot exhaust the stack.
const maxDepth = 100

func parse(expr string) (node, error) {
	p := &parser{tokens: tokenize(expr)}
	if len(p.tokens) == 0 {
		return nil, errors.New("it is empty")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		return nil, fmt.Errorf("%q is not expected here; join two parts with & or |", p.tokens[0])
	}
	return n, nil
}

func tokenize(expr string) []string {
	var tokens []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			tokens = append(tokens, word.String())
			word.Reset()
		}
	}
	for _, r := range expr {
		switch {
		case strings.ContainsRune("&|!()", r):
			flush()
			tokens = append(tokens, string(r))
		case unicode.IsSpace(r):
			flush()
		default:
			word.WriteRune(r)
		}
	}
	flush()
	return tokens
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	t := p.peek()
	p.tokens = p.tokens[1:]
	return t
}

func (p *parser) or() (node, error) {
	left, err := p.and()
	for err == nil && p.peek() == "|" {
		p.next()
		var right node
		right, err = p.and()
		left = or{left, right}
	}
	return left, err
}

func (p *parser) and() (node, error) {
	left, err := p.unary()
	for err == nil && p.peek() == "&" {
		p.next()
		var right node
		right, err = p.unary()
		left = and{left, right}
	}
	return left, err
}

func (p *parser) unary() (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch p.peek() {
	case "":
		return nil, errors.New("it ends where a machine, tag:, class: or role: should follow")
	case "!":
		p.next()
		of, err := p.unary()
		return not{of}, err
	case "(":
		p.next()
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, errors.New("a parenthesis is not closed")
		}
		p.next()
		return n, nil
	case ")", "&", "|":
		return nil, fmt.Errorf("%q is not expected here", p.peek())
	}
	return term{p.next()}, nil
}
