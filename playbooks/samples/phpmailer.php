<?php
require 'vendor/autoload.php';

use PHPMailer\PHPMailer\PHPMailer;

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = 'mta1.example.com';
$mail->Port = 587;
$mail->SMTPSecure = PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPAuth = true;
$mail->Username = 'app@shop.example.com';
$mail->Password = getenv('SMTP_TOKEN');
$mail->CharSet = PHPMailer::CHARSET_UTF8;
$mail->setFrom('app@shop.example.com');
$mail->addAddress('you@example.org');
$mail->Subject = 'A message from shop.example.com';
$mail->Body = "It works.\n";
$mail->send();
