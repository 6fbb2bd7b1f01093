// The life of a payment, by the client `wechatpay-axios-plugin`; only the address that it calls is another.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Wechatpay, Aes, Formatter, Rsa } = require('wechatpay-axios-plugin');

const wires = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const kind = wires.kinds.wechatpay;
const account = kind.accounts[0];
const keys = account.values;
const heard = [];

function held(what, said, expected) {
  if (JSON.stringify(said) !== JSON.stringify(expected)) {
    console.log(`   ✗ ${what}: ${JSON.stringify(said)} is not ${JSON.stringify(expected)}`);
    process.exit(1);
  }
  console.log(`   ✓ ${what}`);
}

const control = (method, ...args) => fetch(`${wires.base_url}/control/${method}`, { method: 'POST', body: JSON.stringify(args) });
const fault = (name, share) => control('inject', { channel_id: 'wechatpay', kind: name, share });

async function refused(what, ask) {
  try {
    await ask();
  } catch (error) {
    console.log(`   ✓ ${what}: ${String(error.message).slice(0, 70)}`);
    return;
  }
  held(what, 'taken', 'refused');
}

async function callback(number) {
  for (let tries = 0; tries < 200 && heard.length <= number; tries += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  if (heard.length <= number) held(`callback ${number} came`, false, true);
  const { headers, body } = heard[number];
  const signed = Formatter.response(headers['wechatpay-timestamp'], headers['wechatpay-nonce'], body);
  const verify = (text) => Rsa.verify(text, headers['wechatpay-signature'], keys.platform_public_key);
  held('its callback is verified', [headers['wechatpay-serial'], verify(signed)], [keys.platform_public_key_id, true]);
  held('a changed one is not', verify(signed.replace('SUCCESS', 'FAILURE')), false);
  const { ciphertext, nonce, associated_data: aad } = JSON.parse(body).resource;
  return JSON.parse(Aes.AesGcm.decrypt(ciphertext, keys.apiv3_key, nonce, aad));
}

const listener = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    heard.push({ headers: request.headers, body });
    response.writeHead(204).end();
  });
});
await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });

const mchid = account.merchant_no;
const pay = new Wechatpay({
  mchid,
  serial: keys.mch_serial_no,
  privateKey: keys.mch_private_key,
  certs: { [keys.platform_public_key_id]: keys.platform_public_key },
  baseURL: `${kind.base_url}/`,
  headers: { 'Wechatpay-Serial': keys.platform_public_key_id },
});
const order = (number) => pay.v3.pay.transactions.native.post({
  mchid,
  appid: keys.appid,
  description: '车险保费',
  out_trade_no: number,
  notify_url: `http://127.0.0.1:${listener.address().port}/callbacks/wechatpay`,
  amount: { total: 10000, currency: 'CNY' },
});
const query = (number) => pay.v3.pay.transactions.outTradeNo._number_.get({ params: { mchid }, number });

const made = await order('life0000001');
held('an order is made', made.status, 200);
await fetch(made.data.code_url, { method: 'POST', body: new URLSearchParams({ act: 'pay' }) });
const told = await callback(0);
held('and opened', [told.trade_state, told.amount.total], ['SUCCESS', 10000]);
held('a question tells the same', (await query('life0000001')).data.trade_state, 'SUCCESS');
const promised = await pay.v3.refund.domestic.refunds.post({
  out_trade_no: 'life0000001', out_refund_no: 'back1', amount: { refund: 400, total: 10000, currency: 'CNY' },
});
held('a refund is promised', promised.data.status, 'PROCESSING');
await control('advance', 60);
held('and done', (await pay.v3.refund.domestic.refunds._number_.get({ number: 'back1' })).data.status, 'SUCCESS');
await order('life0000002');
held('an order is closed', (await pay.v3.pay.transactions.outTradeNo._number_.close.post({ mchid }, { number: 'life0000002' })).status, 204);

for (const name of ['ANSWER_BAD_SIGNATURE', 'ANSWER_PROBE_SIGNATURE', 'ANSWER_NO_SIGNATURE', 'ANSWER_STALE']) {
  await fault(name, 1);
  await refused(`${name} is refused`, () => query('life0000001'));
  await fault(name, 0);
}

const day = new Date(Date.now() + 28_800_000).toISOString().slice(0, 10);
await control('advance', 2 * 86400);
const offered = (await pay.v3.bill.tradebill.get({ params: { bill_date: day } })).data;
const file = await pay.v3.billdownload.file.get({
  params: { token: new URL(offered.download_url).searchParams.get('token') }, responseType: 'arraybuffer',
});
held('a statement has the digest that was signed', createHash('sha1').update(Buffer.from(file.data)).digest('hex'), offered.hash_value);
listener.close();
