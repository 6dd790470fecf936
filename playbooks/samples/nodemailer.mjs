import nodemailer from "nodemailer";

const transport = nodemailer.createTransport({
  host: "mta1.example.com",
  port: 587,
  requireTLS: true,
  auth: { user: "app@shop.example.com", pass: process.env.SMTP_TOKEN },
});

await transport.sendMail({
  from: "app@shop.example.com",
  to: "you@example.org",
  subject: "A message from shop.example.com",
  text: "It works.\n",
});
