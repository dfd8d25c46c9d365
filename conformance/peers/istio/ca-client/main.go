// Asks a certificate authority as Istio's agent does, by the agent's own client package: one call, the chain on standard output.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"istio.io/istio/pkg/security"
	"istio.io/istio/security/pkg/credentialfetcher"
	"istio.io/istio/security/pkg/nodeagent/caclient/providers/citadel"
	"istio.io/istio/security/pkg/pki/util"
)

func main() {
	var (
		address  = flag.String("ca", "", "HOST:PORT")
		san      = flag.String("san", "", "name to expect in the CA's certificate instead of HOST")
		roots    = flag.String("roots", "", "PEM file that authenticates the CA")
		token    = flag.String("token", "", "file with the token; none: no token")
		cluster  = flag.String("cluster", "Kubernetes", "clusterid")
		ttl      = flag.Duration("ttl", time.Hour, "life to ask for")
		name     = flag.String("name", "", "SPIFFE ID to put into the CSR")
		curve    = flag.String("key", "ecdsa", "ecdsa or rsa")
		chain    = flag.String("chain", "", "PEM certificate to show instead of a token")
		chainKey = flag.String("chain-key", "", "its key")
		keyOut   = flag.String("key-out", "", "file to write the new key to")
	)
	flag.Parse()
	if err := run(*address, *san, *roots, *token, *cluster, *ttl, *name, *curve, *chain, *chainKey, *keyOut); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, san, roots, token, cluster string, ttl time.Duration, name, curve, chain, chainKey, keyOut string) error {
	options := &security.Options{CAEndpoint: address, CAEndpointSAN: san, ClusterID: cluster}
	if token != "" {
		fetcher, err := credentialfetcher.NewCredFetcher(security.JWT, "", token, "")
		if err != nil {
			return err
		}
		options.CredFetcher = fetcher
	}
	client, err := citadel.NewCitadelClient(options, &citadel.TLSOptions{RootCert: roots, Cert: chain, Key: chainKey})
	if err != nil {
		return err
	}
	defer client.Close()
	asked := util.CertOptions{Host: name, PKCS8Key: true, RSAKeySize: 2048}
	if curve == "ecdsa" {
		asked.ECSigAlg = util.EcdsaSigAlg
	}
	csr, key, err := util.GenCSR(asked)
	if err != nil {
		return err
	}
	certificates, err := client.CSRSign(csr, int64(ttl.Seconds()))
	if err != nil {
		return err
	}
	if keyOut != "" {
		if err := os.WriteFile(keyOut, key, 0o600); err != nil {
			return err
		}
	}
	for _, certificate := range certificates {
		fmt.Print(certificate)
	}
	return nil
}
