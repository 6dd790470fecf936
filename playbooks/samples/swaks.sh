#!/bin/sh
# The token is in the environment: what stands in a command line, every user of the machine can read.
SWAKS_OPT_auth_password=$SMTP_TOKEN swaks --server mta1.example.com --port 587 --tls --tls-verify \
    --auth PLAIN --auth-user app@shop.example.com \
    --from app@shop.example.com --to you@example.org \
    --header "Subject: A message from shop.example.com" --body "It works."
