# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The lab: systemd containers that stand in for a sender's world (see lab/README.md)."""
