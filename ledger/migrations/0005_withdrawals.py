from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0004_audit_append_only'),
    ]

    operations = [
        migrations.AlterField(
            model_name='ledgerentry',
            name='kind',
            field=models.CharField(choices=[('DEPOSIT', 'Deposit'), ('WITHDRAWAL', 'Withdrawal'), ('BUY', 'Buy'), ('SELL', 'Sell'), ('PROFIT', 'Profit'), ('LOSS', 'Loss'), ('FEE', 'Fee'), ('SHARES', 'Shares'), ('FOUND', 'Found'), ('COMMISSION', 'Commission'), ('REVERSAL', 'Reversal')], max_length=12),
        ),
    ]
