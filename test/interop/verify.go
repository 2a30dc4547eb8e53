// Verifies a published ledger with golang.org/x/mod/sumdb/note and tlog, and nothing of ours.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run verify.go DIR [OLD-CHECKPOINT]
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigner verifies cosignatures of type 0x04, which note.NewVerifier does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

// files reads tiles: Go's own paths have "8/" after "tile/", and call entries "data".
type files struct{ dir string }

func (f files) Height() int                     { return 8 }
func (f files) SaveTiles([]tlog.Tile, [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		path := strings.Replace(strings.Replace(t.Path(), "tile/8/", "tile/", 1), "/data/", "/entries/", 1)
		b, err := os.ReadFile(filepath.Join(f.dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
}

// open verifies a checkpoint with the keys of the policy and parses its three lines.
func open(dir, name string, list []note.Verifier, want int) tlog.Tree {
	text, err := os.ReadFile(filepath.Join(dir, name))
	must(err)
	n, err := note.Open(text, note.VerifierList(list...))
	must(err)
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || len(n.Sigs) < want {
		must(fmt.Errorf("%s: %d lines, %d verified signatures", name, len(lines)-1, len(n.Sigs)))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	var tree tlog.Tree
	tree.N = size
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	copy(tree.Hash[:], root)
	fmt.Printf("%s: %d entries, %d signatures verified, %d ignored\n", name, size, len(n.Sigs), len(n.UnverifiedSigs))
	return tree
}

func main() {
	dir := os.Args[1]
	policy, err := os.ReadFile(filepath.Join(dir, "policy"))
	must(err)
	var list []note.Verifier
	quorum := 0
	for _, line := range strings.Split(string(policy), "\n") {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "log" {
			v, err := note.NewVerifier(f[1])
			must(err)
			list = append(list, v)
		} else if len(f) == 3 && f[0] == "witness" {
			p := strings.SplitN(f[2], "+", 3)
			hash, err := strconv.ParseUint(p[1], 16, 32)
			must(err)
			key, err := base64.StdEncoding.DecodeString(p[2])
			must(err)
			if key[0] == 4 {
				list = append(list, cosigner{p[0], uint32(hash), key[1:]})
			}
		} else if len(f) > 2 && f[0] == "group" && f[1] == "val" {
			quorum, err = strconv.Atoi(f[2])
			must(err)
		}
	}
	tree := open(dir, "checkpoint", list, 1+quorum)
	reader := tlog.TileHashReader(tree, files{dir})

	// Every entry file that is asked for below must hold the leaves that the tree has.
	checked := 0
	for id := int64(0); id < tree.N; id += 1 + tree.N/97 {
		n := id / 256
		t := tlog.Tile{H: 8, L: -1, N: n, W: 256}
		if (n+1)*256 > tree.N {
			t.W = int(tree.N - n*256)
		}
		data, err := files{dir}.ReadTiles([]tlog.Tile{t})
		must(err)
		rest := data[0]
		for i := n * 256; i < id; i++ {
			rest = rest[2+binary.BigEndian.Uint16(rest):]
		}
		entry := rest[2 : 2+binary.BigEndian.Uint16(rest)]
		proof, err := tlog.ProveRecord(tree.N, id, reader)
		must(err)
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, id, tlog.RecordHash(entry)))
		if tlog.CheckRecord(proof, tree.N, tree.Hash, id, tlog.RecordHash(bytes.ToUpper(append([]byte("x"), entry...)))) == nil {
			must(fmt.Errorf("a wrong entry passed"))
		}
		checked++
	}
	fmt.Printf("entries: %d proven to be in the tree\n", checked)

	if len(os.Args) > 2 {
		old := open(dir, os.Args[2], list, 1+quorum)
		proof, err := tlog.ProveTree(tree.N, old.N, reader)
		must(err)
		must(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
		fmt.Printf("tree: %d entries extend %d\n", tree.N, old.N)
	}
}
