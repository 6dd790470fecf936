import os
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

message = EmailMessage()
message["From"] = "app@shop.example.com"
message["To"] = "you@example.org"
message["Subject"] = "A message from shop.example.com"
message["Date"] = formatdate(localtime=True)
message["Message-ID"] = make_msgid(domain="shop.example.com")
message.set_content("It works.\n")

with smtplib.SMTP("mta1.example.com", 587, timeout=60) as session:
    session.starttls(context=ssl.create_default_context())
    session.login("app@shop.example.com", os.environ["SMTP_TOKEN"])
    session.send_message(message)
