"""A stand-in for group robots: DingTalk's custom robot, WeCom's robot, and a receiver of Standard Webhooks.

Written from the vendors' public documentation alone: `robots/custom-robot-access` and
`robots/customize-robot-security-settings` of DingTalk, `path/91770` of WeCom, and the Standard Webhooks specification.
What it received, and what it refused and why, stands under `GET /__world/messages`.
"""
